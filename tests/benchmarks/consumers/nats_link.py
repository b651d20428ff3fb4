"""NATS, as much of its protocol as a pull consumer of JetStream needs: a blocking connection, one thing at a time."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import frozen

INBOX = "_INBOX.bench"
RECEIVE_BYTES = 1 << 18


@frozen
class Message:
    subject: str
    reply: str
    payload: bytes
    status: str
    """The status line's code of a message without content ("404": nothing there; "408": nothing came); else empty."""


class NatsLink:
    """A connection to one server. Raises ConnectionError when it ends, RuntimeError for what the server refuses."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._at = 0
        self._line()  # INFO
        self._send(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n')
        self._send(f"SUB {INBOX}.> 1\r\nPING\r\n".encode())

    def close(self) -> None:
        self._socket.close()

    def ask(self, subject: str, content: dict[str, Any]) -> dict[str, Any]:
        """A request of JetStream's interface, and its answer."""
        self._send(_publish(subject, json.dumps(content).encode(), f"{INBOX}.api"))
        answer: dict[str, Any] = json.loads(self._message().payload)
        if "error" in answer:
            raise RuntimeError(f"NATS refuses {subject}: {answer['error'].get('description')}")
        return answer

    def publish(self, subject: str, payloads: Sequence[bytes]) -> None:
        """Publish to a stream, and wait until the last one is acknowledged."""
        self._send(b"".join(_publish(subject, payload) for payload in payloads[:-1]))
        self._send(_publish(subject, payloads[-1], f"{INBOX}.published"))
        assert b'"seq"' in self._message().payload

    def fetch(self, stream: str, consumer: str, count: int) -> list[Message]:
        """What is there, at most so many messages."""
        content = json.dumps({"batch": count, "no_wait": True}).encode()
        self._send(_publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", content, f"{INBOX}.next"))
        found: list[Message] = []
        while len(found) < count:
            message = self._message()
            if message.status:
                break
            found.append(message)
        return found

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledge each, and wait until the server has the last one's acknowledgement."""
        replies = [message.reply for message in messages]
        self._send(b"".join(_publish(reply, b"+ACK") for reply in replies[:-1]))
        self._send(_publish(replies[-1], b"+ACK", f"{INBOX}.acked"))
        self._message()

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _message(self) -> Message:
        return next(self._messages())

    def _messages(self) -> Iterator[Message]:
        while True:
            words = self._line().decode().split()
            if not words or words[0] in ("PONG", "+OK", "INFO"):
                continue
            if words[0] == "PING":
                self._send(b"PONG\r\n")
            elif words[0] == "MSG":
                reply = words[3] if len(words) == 5 else ""
                yield Message(words[1], reply, self._content(int(words[-1])), "")
            elif words[0] == "HMSG":
                reply = words[3] if len(words) == 6 else ""
                content, header_size = self._content(int(words[-1])), int(words[-2])
                status = content[:header_size].split(b"\r\n")[0].split()
                yield Message(words[1], reply, content[header_size:], status[1].decode() if len(status) > 1 else "")
            else:
                raise RuntimeError(f"NATS says {' '.join(words)}")

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n", self._at)) < 0:
            self._receive()
        line = bytes(self._buffer[self._at : end])
        self._at = end + 2
        return line

    def _content(self, size: int) -> bytes:
        while len(self._buffer) - self._at < size + 2:
            self._receive()
        content = bytes(self._buffer[self._at : self._at + size])
        self._at += size + 2
        return content

    def _receive(self) -> None:
        del self._buffer[: self._at]
        self._at = 0
        data = self._socket.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionError("NATS closed the connection")
        self._buffer += data


def _publish(subject: str, payload: bytes, reply: str = "") -> bytes:
    words = f"PUB {subject} {reply + ' ' if reply else ''}{len(payload)}\r\n"
    return words.encode() + payload + b"\r\n"
