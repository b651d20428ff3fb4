"""Asking a witness over HTTP/1.1 for its cosignature of a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import h11
import trio
from attrs import frozen

from vdb.errors import ConfigError, ConnectionLost, EvidenceInvalid
from vdb.evidence.checkpoint import Checkpoint, parse_number
from vdb.evidence.cosignature import cosigned_at
from vdb.evidence.note import Note, VerifierKey, parse_note
from vdb.evidence.witness import AddCheckpoint, Status
from vdb.ports import Network

ANSWER_SECONDS_MAX = 20.0
ANSWER_BYTES_MAX = 64 * 1024

_URL = re.compile(r"(https?)://([^/\s]+)(/[^\s?#]*)?")

Consistency = Callable[[int], Awaitable[tuple[Note, tuple[bytes, ...]]]]
"""From a size: the tree as it is, signed by the log, and that it begins with the one of that size."""


@frozen
class WitnessPlace:
    """Where a witness is asked: host:port, and what stands before /add-checkpoint."""

    address: str
    prefix: str
    tls: bool

    @classmethod
    def parse(cls, url: str) -> WitnessPlace:
        """From http://HOST:PORT or https://HOST:PORT, perhaps with a path. ConfigError."""
        found = _URL.fullmatch(url)
        if not found:
            raise ConfigError(f"a witness's address reads http://HOST:PORT or https://HOST:PORT; found {url!r}")
        host = found[2] if re.search(r":[0-9]+$", found[2]) else f"{found[2]}:{443 if found[1] == 'https' else 80}"
        return cls(host, (found[3] or "").rstrip("/"), found[1] == "https")


async def ask_witness(network: Network, place: WitnessPlace, key: VerifierKey, consistency: Consistency) -> Note:
    """The log's tree as it is, with its signatures and the witness's. `key`: the witness's.

    EvidenceInvalid if the witness refuses, because it knows another history of the log, or signs wrongly.
    ConnectionLost if it doesn't answer.
    """
    size = 0
    for _attempt in range(3):
        note, path = await consistency(size)
        status, answer = await _post(network, place, AddCheckpoint(size, path, note).encode())
        if status == Status.COSIGNED:
            return _with_cosignature(note, answer, key)
        if status != Status.OTHER_TREE:
            break
        known = parse_number(answer.decode("ascii", "replace").strip(), "the size that a witness knows")
        if known == size:
            raise EvidenceInvalid(f"the witness {key.name!r} knows another tree of {size} leaves: two histories exist")
        if known > Checkpoint.parse(note.text).size:
            raise EvidenceInvalid(
                f"the witness {key.name!r} has cosigned {known} leaves, and the log has "
                f"{Checkpoint.parse(note.text).size}: leaves were lost, or taken back"
            )
        size = known
    told = answer.decode("utf-8", "replace").strip()
    raise EvidenceInvalid(f"the witness {key.name!r} refuses to cosign ({status}): {told}")


def _with_cosignature(note: Note, answer: bytes, key: VerifierKey) -> Note:
    signed = parse_note(f"{note.text}\n".encode() + answer)
    found = signed.of(key)
    if found is None or cosigned_at(signed, key) is None:
        raise EvidenceInvalid(f"the answer of the witness holds no signature of {key.name!r}: is this its key?")
    return Note(note.text, (*note.signatures, found))


async def _post(network: Network, place: WitnessPlace, body: bytes) -> tuple[int, bytes]:
    with trio.move_on_after(ANSWER_SECONDS_MAX):
        stream = await network.connect(place.address)
        try:
            return await _exchange(stream, place, body)
        except (h11.ProtocolError, trio.BrokenResourceError) as error:
            raise ConnectionLost(f"the witness at {place.address} doesn't answer as it should: {error}") from None
        finally:
            await trio.aclose_forcefully(stream)
    raise ConnectionLost(f"the witness at {place.address} doesn't answer within {ANSWER_SECONDS_MAX:g} s")


async def _exchange(stream: trio.abc.Stream, place: WitnessPlace, body: bytes) -> tuple[int, bytes]:
    connection = h11.Connection(h11.CLIENT)
    headers = [("host", place.address), ("content-length", str(len(body))), ("connection", "close")]
    request = h11.Request(method="POST", target=f"{place.prefix}/add-checkpoint", headers=headers)
    for event in (request, h11.Data(data=body), h11.EndOfMessage()):
        await stream.send_all(connection.send(event) or b"")
    status, answer = 0, bytearray()
    while True:
        found = connection.next_event()
        if found is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(16 * 1024)))
        elif isinstance(found, h11.Response):
            status = found.status_code
        elif isinstance(found, h11.Data):
            answer += found.data
            if len(answer) > ANSWER_BYTES_MAX:
                raise EvidenceInvalid(f"the witness at {place.address} answers with too much")
        elif isinstance(found, h11.EndOfMessage):
            return status, bytes(answer)
        elif not isinstance(found, h11.InformationalResponse):
            raise ConnectionLost(f"the witness at {place.address} has closed the connection")
