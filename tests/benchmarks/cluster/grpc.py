"""gRPC over HTTP/2 as a client of one method: unary calls on one connection, no IO.

Rules
- The method's header fields go into the compression's table with the first call; a later call names them by number.
- Of an answer's header fields nothing is read. A call was answered if a message came, and refused if the stream ended
  without one: that is how a unary call fails.
- What is sent keeps within the connection's window, so a request may leave in pieces. One request must fit into a
  stream's first window, which no node makes smaller than the protocol's default.
"""

from __future__ import annotations

import struct
from collections import deque

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
INITIAL_WINDOW = 65_535
WINDOW_MAX = 2**31 - 1
FRAME_MAX = 16_384
_SETTING_INITIAL_WINDOW = 4
_FRAME_HEADER = 9
_MESSAGE_HEADER = 5
_REPEATED_HEADERS = bytes([0x83, 0x86, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62])
"""POST and http of the fixed table, then the four fields that `_first_headers` adds, the last added first."""


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload) << 8 | kind) + struct.pack(">BI", flags, stream) + payload


def _first_headers(path: str) -> bytes:
    def text(value: str) -> bytes:
        assert len(value) < 127
        return bytes([len(value)]) + value.encode()

    fields = (b"\x83\x86", b"\x44", text(path), b"\x41", text("localhost"), b"\x5f", text("application/grpc"))
    return b"".join((*fields, b"\x40", text("te"), text("trailers")))


class GrpcConnection:
    """Calls of one method, such as "/etcdserverpb.KV/Put"."""

    def __init__(self, path: str) -> None:
        settings = struct.pack(">HI", _SETTING_INITIAL_WINDOW, WINDOW_MAX)
        self._outgoing: list[bytes] = [
            PREFACE,
            frame(SETTINGS, 0, 0, settings),
            frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW_MAX - INITIAL_WINDOW)),
        ]
        self._headers = _first_headers(path)
        self._stream = -1
        self._bodies: deque[tuple[int, bytes]] = deque()
        self._window = INITIAL_WINDOW
        self._unreported = 0
        self._buffer = bytearray()
        self._messages: dict[int, list[bytes]] = {}
        self.refused = 0

    def ask(self, message: bytes) -> None:
        assert len(message) + _MESSAGE_HEADER <= INITIAL_WINDOW, "a request fits into a stream's window"
        self._stream += 2
        self._outgoing.append(frame(HEADERS, END_HEADERS, self._stream, self._headers))
        self._headers = _REPEATED_HEADERS
        self._bodies.append((self._stream, struct.pack(">BI", 0, len(message)) + message))
        self._send_bodies()

    def _send_bodies(self) -> None:
        while self._bodies and self._window:
            stream, body = self._bodies.popleft()
            size = min(len(body), FRAME_MAX, self._window)
            self._window -= size
            flags = END_STREAM if size == len(body) else 0
            self._outgoing.append(frame(DATA, flags, stream, body[:size]))
            if size < len(body):
                self._bodies.appendleft((stream, body[size:]))

    def data_to_send(self) -> bytes:
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def receive(self, data: bytes) -> list[bytes]:
        """The messages of the calls that these bytes answered. Raises ValueError when the node ends the connection."""
        buffer = self._buffer
        buffer += data
        answers: list[bytes] = []
        at = 0
        while len(buffer) >= at + _FRAME_HEADER:
            size = int.from_bytes(buffer[at : at + 3], "big")
            end = at + _FRAME_HEADER + size
            if len(buffer) < end:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            stream = int.from_bytes(buffer[at + 5 : at + _FRAME_HEADER], "big")
            self._on_frame(kind, flags, stream, bytes(buffer[at + _FRAME_HEADER : end]), answers)
            at = end
        del buffer[:at]
        return answers

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes, answers: list[bytes]) -> None:
        if kind == DATA:
            assert not flags & PADDED
            self._messages.setdefault(stream, []).append(payload)
            self._report_window(len(payload))
        elif kind == SETTINGS and not flags & ACK:
            self._outgoing.append(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self._outgoing.append(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big")
            self._send_bodies()
        elif kind == GOAWAY:
            raise ValueError(f"the node ends the connection: {payload[8:].decode(errors='replace')}")
        if (kind in (DATA, HEADERS) and flags & END_STREAM) or kind == RST_STREAM:
            pieces = self._messages.pop(stream, None)
            if pieces is None or kind == RST_STREAM:
                self.refused += 1
            else:
                answers.append(b"".join(pieces)[_MESSAGE_HEADER:])

    def _report_window(self, size: int) -> None:
        self._unreported += size
        if self._unreported >= WINDOW_MAX // 2:
            self._outgoing.append(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._unreported)))
            self._unreported = 0
