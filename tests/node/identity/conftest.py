"""An identity provider of the test's own."""

from __future__ import annotations

import json
from typing import Any

import h11
import pytest
import trio

from vdb.ports import Listener

Answers = dict[str, tuple[int, bytes]]


class Issuer:
    """Answers GET over HTTP with what stands in `answers`, by path; one request a connection."""

    def __init__(self) -> None:
        self.answers: Answers = {}
        self.asked: list[str] = []
        self.delay = 0.0

    def says(self, path: str, value: Any, status: int = 200) -> None:
        self.answers[path] = (status, value if isinstance(value, bytes) else json.dumps(value).encode())

    async def run(self, listener: Listener) -> None:
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    nursery.start_soon(self._answer, await listener.accept())
        finally:
            with trio.CancelScope(shield=True):
                await listener.aclose()

    async def _answer(self, stream: trio.abc.Stream) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            path = ""
            while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    connection.receive_data(bytes(await stream.receive_some(4096)))
                elif isinstance(event, h11.Request):
                    path = event.target.decode()
                elif not isinstance(event, h11.Data):
                    return
            self.asked.append(path)
            await trio.sleep(self.delay)
            status, body = self.answers.get(path, (404, b"{}"))
            parts = [
                h11.Response(status_code=status, headers=[("content-length", str(len(body)))]),
                h11.Data(data=body),
            ]
            await stream.send_all(b"".join(connection.send(one) or b"" for one in (*parts, h11.EndOfMessage())))
        except (trio.BrokenResourceError, h11.ProtocolError):
            pass
        finally:
            await trio.aclose_forcefully(stream)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()
