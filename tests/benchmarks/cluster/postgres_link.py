"""PostgreSQL's protocol, version 3, with simple queries: what pgbench can't be asked to do."""

from __future__ import annotations

import socket
import struct

from tests.benchmarks.cluster.link import PAYLOAD

DATABASE = USER = "postgres"
_PROTOCOL = 3 << 16
_HEADER = 5


class PostgresLink:
    """One backend's connection; trusts and is trusted."""

    def __init__(self) -> None:
        self.refusal = ""
        self.rows: list[list[str | None]] = []
        """What the queries so far returned."""
        parameters = b"".join(
            word.encode() + b"\0" for word in ("user", USER, "database", DATABASE, "application_name", "benchmark")
        )
        startup = struct.pack(">II", 9 + len(parameters), _PROTOCOL) + parameters + b"\0"
        self._outgoing: list[bytes] = [startup]
        self._buffer = bytearray()
        self._failed = False
        self._ready = False

    def ask(self, query: str) -> None:
        body = query.encode() + b"\0"
        self._outgoing.append(b"Q" + struct.pack(">I", 4 + len(body)) + body)

    def ask_append(self, events: int) -> None:
        values = ", ".join([f"('{PAYLOAD.decode()}')"] * events)
        self.ask(f"INSERT INTO events (payload) VALUES {values}")

    def ask_read(self, first: int, events: int) -> None:
        self.ask(f"SELECT id, payload FROM readable WHERE id > {first} ORDER BY id LIMIT {events}")

    def data_to_send(self) -> bytes:
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def receive(self, data: bytes) -> int:
        buffer = self._buffer
        buffer += data
        finished = 0
        while len(buffer) >= _HEADER:
            end = 1 + int.from_bytes(buffer[1:_HEADER], "big")
            if len(buffer) < end:
                break
            finished += self._on_message(bytes(buffer[:1]), bytes(buffer[_HEADER:end]))
            del buffer[:end]
        return finished

    def _on_message(self, kind: bytes, body: bytes) -> bool:
        if kind == b"E":
            self._failed = True
            self.refusal = _said(body)
        elif kind == b"D":
            self.rows.append(_row(body))
        elif kind == b"Z":
            # The first says that the connection is made; each other one ends a query.
            succeeded = self._ready and not self._failed
            self._ready, self._failed = True, False
            return succeeded
        return False


def _said(body: bytes) -> str:
    said = {field[:1]: field[1:].decode(errors="replace") for field in body.split(b"\0") if field}
    return said.get(b"M", "an error without a message")


def _row(body: bytes) -> list[str | None]:
    count, at = int.from_bytes(body[:2], "big"), 2
    found: list[str | None] = []
    for _ in range(count):
        (size,) = struct.unpack_from(">i", body, at)
        at += 4
        found.append(None if size < 0 else body[at : at + size].decode())
        at += max(size, 0)
    return found


def query(port: int, text: str, *, timeout_s: float = 60.0) -> list[list[str | None]]:
    """Run statements of one simple query; the rows. Raises OSError or ValueError."""
    with socket.create_connection(("127.0.0.1", port), timeout_s) as stream:
        link = PostgresLink()
        link.ask(text)
        stream.sendall(link.data_to_send())
        finished = 0
        while not finished:
            data = stream.recv(1 << 16)
            finished = link.receive(data)
            if link.refusal:
                raise ValueError(link.refusal)
            if not data:
                raise ConnectionError("PostgreSQL ended the connection")
    return link.rows
