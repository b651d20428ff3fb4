"""One request over HTTP/1.1, and its answer: h11 reads and writes, the Network port carries it.

Rules
- A connection carries one request. Redirections aren't followed: whoever is asked answers.
- An answer is bounded in size and in time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Self

import h11
import trio
from attrs import frozen

from vdb.errors import ConfigError, ConnectionLost
from vdb.ports import Network

ANSWER_SECONDS_MAX = 20.0
_RECEIVE = 16 * 1024
_URL = re.compile(r"(https?)://([^/\s?#@]+)(/[^\s?#]*)?")
_PORTS: Mapping[str, int] = {"https": 443, "http": 80}


@frozen
class WebPlace:
    """What a URL names: a scheme, host:port, and a path."""

    scheme: str
    address: str
    path: str

    @classmethod
    def parse(cls, url: str, what: str) -> Self:
        """ConfigError, which says `what` this is, for anything but http(s)://HOST[:PORT][/PATH]."""
        found = _URL.fullmatch(url)
        if not found:
            raise ConfigError(f"{what} reads http://HOST:PORT or https://HOST:PORT; found {url!r}")
        host = found[2] if re.search(r":[0-9]+$", found[2]) else f"{found[2]}:{_PORTS[found[1]]}"
        return cls(found[1], host, (found[3] or "").rstrip("/"))


@frozen
class WebAnswer:
    status: int
    body: bytes


async def ask(
    network: Network, place: WebPlace, *, who: str, body: bytes | None = None, bytes_max: int, path: str = ""
) -> WebAnswer:
    """GET, or POST where there is a body, of the place's path and `path`. `who` is asked, for errors.

    ConnectionLost where nobody answers in time, or not as HTTP has it, or with more than `bytes_max`.
    """
    with trio.move_on_after(ANSWER_SECONDS_MAX):
        stream = await network.connect(place.address)
        try:
            return await _exchange(stream, place, who, body, bytes_max, f"{place.path}{path}" or "/")
        except (h11.ProtocolError, trio.BrokenResourceError) as error:
            raise ConnectionLost(f"{who} at {place.address} doesn't answer as it should: {error}") from None
        finally:
            await trio.aclose_forcefully(stream)
    raise ConnectionLost(f"{who} at {place.address} doesn't answer within {ANSWER_SECONDS_MAX:g} s")


async def _exchange(
    stream: trio.abc.Stream, place: WebPlace, who: str, body: bytes | None, bytes_max: int, target: str
) -> WebAnswer:
    connection = h11.Connection(h11.CLIENT)
    headers = [("host", _host(place)), ("content-length", str(len(body or b""))), ("connection", "close")]
    request = h11.Request(method="GET" if body is None else "POST", target=target, headers=headers)
    for event in (request, h11.Data(data=body or b""), h11.EndOfMessage()):
        await stream.send_all(connection.send(event) or b"")
    status, answer = 0, bytearray()
    while True:
        found = connection.next_event()
        if found is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(_RECEIVE)))
        elif isinstance(found, h11.Response):
            status = found.status_code
        elif isinstance(found, h11.Data):
            answer += found.data
            if len(answer) > bytes_max:
                raise ConnectionLost(f"{who} at {place.address} answers with too much: expected {bytes_max} bytes")
        elif isinstance(found, h11.EndOfMessage):
            return WebAnswer(status, bytes(answer))
        elif not isinstance(found, h11.InformationalResponse):
            raise ConnectionLost(f"{who} at {place.address} has closed the connection")


def _host(place: WebPlace) -> str:
    """Without the port that everybody expects."""
    return place.address.removesuffix(f":{_PORTS[place.scheme]}")
