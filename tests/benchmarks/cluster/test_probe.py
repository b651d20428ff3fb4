"""The probe against sockets that answer as a fake node would."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.benchmarks.cluster.probe import seconds_to_append


class LineLink:
    """A protocol of bytes: `?` asks; `+` says done and `-` says no."""

    def __init__(self) -> None:
        self.refusal = ""
        self._asked = 0

    def ask_append(self, events: int) -> None:
        assert events == 1
        self._asked += 1

    def ask_read(self, first: int, events: int) -> None:
        raise AssertionError("the probe doesn't read")

    def data_to_send(self) -> bytes:
        data, self._asked = b"?" * self._asked, 0
        return data

    def receive(self, data: bytes) -> int:
        if b"-" in data:
            self.refusal = "no"
        return data.count(b"+")


class Node:
    """Refuses the first requests, accepts the next, and ends every connection after `patience` answers."""

    def __init__(self, *, refusals: int, patience: int = 1_000_000) -> None:
        self._refusals = refusals
        self._patience = patience
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with stream:
                self._answer(stream)

    def _answer(self, stream: socket.socket) -> None:
        for _ in range(self._patience):
            try:
                if not stream.recv(1):
                    return
                self._refusals -= 1
                stream.sendall(b"+" if self._refusals < 0 else b"-")
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    made: list[Node] = []
    yield made
    for node in made:
        node.close()


def test_it_asks_until_a_node_says_yes(nodes: list[Node]) -> None:
    nodes += [Node(refusals=10**9), Node(refusals=5)]
    since = time.perf_counter()
    found = seconds_to_append(since, [node.port for node in nodes], LineLink, within_s=60)
    assert 0 < found <= time.perf_counter() - since


def test_it_connects_again_when_the_connection_ends(nodes: list[Node]) -> None:
    nodes.append(Node(refusals=5, patience=2))
    seconds_to_append(time.perf_counter(), [nodes[0].port], LineLink, within_s=60)
    assert nodes[0].connections >= 3


def test_it_says_what_it_heard_when_nobody_accepts(nodes: list[Node]) -> None:
    nodes.append(Node(refusals=10**9))
    port = nodes[0].port
    with pytest.raises(TimeoutError, match=rf"within 0.2 seconds: port {port}: no"):
        seconds_to_append(time.perf_counter(), [port], LineLink, within_s=0.2)
