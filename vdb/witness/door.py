"""HTTP/1.1 for a witness: `POST /add-checkpoint`, and `GET /` for its key. h11 reads and writes; trio carries it.

Rules
- A request has at most BODY_MAX bytes, IDLE_SECONDS to come and its answer as long to be taken; a witness serves
  CONNECTIONS_MAX at a time.
- Connections are kept; whatever can't be read ends one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import h11
import trio

from vdb.evidence.witness import TEXT_TYPE, Status
from vdb.marks import mark
from vdb.ports import Listener
from vdb.witness.holding import Witness

BODY_MAX = 64 * 1024
IDLE_SECONDS = 30.0
CONNECTIONS_MAX = 64

_RECEIVE = 16 * 1024
_TOO_LARGE, _NOT_THERE, _NOT_ALLOWED = 413, 404, 405


async def serve_witness(witness: Witness, listener: Listener) -> None:
    """Answer until cancelled."""
    limit = trio.CapacityLimiter(CONNECTIONS_MAX)
    async with trio.open_nursery() as nursery:
        while True:
            try:
                stream = await listener.accept()
            except OSError:
                mark("witness.no_more_files")
                await trio.sleep(0.1)
                continue
            nursery.start_soon(partial(_serve_connection, witness, stream, limit))


async def _serve_connection(witness: Witness, stream: trio.abc.Stream, limit: trio.CapacityLimiter) -> None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_RECEIVE)
    async with limit:
        try:
            while await _serve_request(witness, stream, connection):
                connection.start_next_cycle()
        except (h11.ProtocolError, trio.BrokenResourceError, trio.ClosedResourceError):
            mark("witness.connection_broken")
        finally:
            with trio.move_on_after(1):
                await trio.aclose_forcefully(stream)


async def _serve_request(witness: Witness, stream: trio.abc.Stream, connection: h11.Connection) -> bool:
    """Answer one request; whether another may follow."""
    method, target, body, too_large = "", "", bytearray(), False
    with trio.move_on_after(IDLE_SECONDS) as waiting:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(bytes(await stream.receive_some(_RECEIVE)))
            elif isinstance(event, h11.Request):
                method, target = event.method.decode("ascii"), event.target.decode("ascii")
            elif isinstance(event, h11.Data):
                too_large = too_large or len(body) + len(event.data) > BODY_MAX
                if not too_large:
                    body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return False
    if waiting.cancelled_caught:
        return False
    if too_large:
        status, kind, answer = _TOO_LARGE, TEXT_TYPE, f"a request has at most {BODY_MAX} bytes\n".encode()
    elif target == "/add-checkpoint" and method == "POST":
        status, kind, answer = await witness.add_checkpoint(bytes(body))
    elif target == "/" and method == "GET":
        status, kind, answer = Status.COSIGNED, TEXT_TYPE, f"{witness.verifier}\n".encode()
    else:
        known = target in ("/", "/add-checkpoint")
        status, kind, answer = _NOT_ALLOWED if known else _NOT_THERE, TEXT_TYPE, b"POST /add-checkpoint\n"
    with trio.move_on_after(IDLE_SECONDS) as sending:
        await stream.send_all(_answer(connection, status, {"content-type": kind}, answer))
    done = connection.our_state is h11.DONE and connection.their_state is h11.DONE
    return done and not sending.cancelled_caught


def _answer(connection: h11.Connection, status: int, headers: Mapping[str, str], body: bytes) -> bytes:
    head = h11.Response(status_code=int(status), headers=[*headers.items(), ("content-length", str(len(body)))])
    parts = [connection.send(head), connection.send(h11.Data(data=body)), connection.send(h11.EndOfMessage())]
    return b"".join(part for part in parts if part)
