"""etcd's own protocol, gRPC: an append is a Put of a new key, or one transaction of many; a read is a Range.

Keys are the log's name and a number, so that a range of them is a range of offsets.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.cluster.grpc import GrpcConnection
from tests.benchmarks.cluster.link import PAYLOAD

_PUT, _TXN, _RANGE, _STATUS = (
    f"/etcdserverpb.{name}" for name in ("KV/Put", "KV/Txn", "KV/Range", "Maintenance/Status")
)


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def bytes_field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def number_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message that holds numbers and bytes alone: (number, value)."""
    at = 0

    def take() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while at < len(message):
        tag = take()
        value = take()
        if tag & 7 == 2:
            yield tag >> 3, message[at : at + value]
            at += value
        else:
            assert tag & 7 == 0, "a number or bytes"
            yield tag >> 3, value


def key(log: str, number: int) -> bytes:
    return b"%s/%012d" % (log.encode(), number)


class EtcdLink:
    """One kind of request a link: the first one says which. Appends are numbered from 0 for each link."""

    def __init__(self, log: str) -> None:
        self.refusal = ""
        self._log = log
        self._number = 0
        self._grpc: GrpcConnection | None = None
        self._path = ""
        self._size_least = 0

    def ask_append(self, events: int) -> None:
        puts = [bytes_field(1, key(self._log, self._number + at)) + bytes_field(2, PAYLOAD) for at in range(events)]
        self._number += events
        if events == 1:
            self._ask(_PUT, puts[0])
        else:
            self._ask(_TXN, b"".join(bytes_field(2, bytes_field(2, put)) for put in puts))

    def ask_read(self, first: int, events: int) -> None:
        self._size_least = events * len(PAYLOAD)
        last = key(self._log, first + events)
        self._ask(_RANGE, bytes_field(1, key(self._log, first)) + bytes_field(2, last))

    def ask_status(self) -> None:
        self._ask(_STATUS, b"")

    def _ask(self, path: str, message: bytes) -> None:
        if self._grpc is None:
            self._grpc, self._path = GrpcConnection(path), path
        assert path == self._path, "a link sends one kind of request"
        self._grpc.ask(message)

    def data_to_send(self) -> bytes:
        return b"" if self._grpc is None else self._grpc.data_to_send()

    def receive(self, data: bytes) -> int:
        answers = self.receive_messages(data)
        for answer in answers:
            if len(answer) < self._size_least:
                raise ValueError(f"{len(answer)} bytes where {self._size_least} bytes of events were asked for")
        return len(answers)

    def receive_messages(self, data: bytes) -> list[bytes]:
        assert self._grpc is not None
        answers = self._grpc.receive(data)
        if self._grpc.refused:
            self.refusal = "the call failed"
        return answers
