"""The process that loads VerityDB or etcd: one connection, so many requests in flight, as little work as possible.

    python -m tests.benchmarks.cluster.load PROTOCOL append PORT LOG DEPTH EVENTS SECONDS
    python -m tests.benchmarks.cluster.load PROTOCOL fill PORT LOG EVENTS_A_REQUEST REQUESTS
    python -m tests.benchmarks.cluster.load PROTOCOL read PORT LOG EVENTS PAGE SECONDS

Each prints events per second. `read` goes through EVENTS events in order, PAGE of them a request and one request after
another, and starts again at the first. PROTOCOL is capnp or etcd; LOG is a stream, or the prefix of keys.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable

from tests.benchmarks.cluster.capnp_link import CapnpLink
from tests.benchmarks.cluster.etcd_link import EtcdLink
from tests.benchmarks.cluster.link import Link

HOST = "127.0.0.1"
RECEIVE_SIZE = 1 << 20
FILL_DEPTH = 16
TIMEOUT_S = 120.0
INTERRUPTED = 3
"""The exit code that tells of `Interrupted`; its message is then on standard output."""
LINKS: dict[str, Callable[[str], Link]] = {"capnp": CapnpLink, "etcd": EtcdLink}


class Interrupted(Exception):
    """What was measured counts for nothing: a node refused, or ended the connection, as when the primary changes."""


class Driver:
    """A link on a socket."""

    def __init__(self, port: int, link: Link) -> None:
        self._link = link
        self._socket = socket.create_connection((HOST, port), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self) -> None:
        if data := self._link.data_to_send():
            self._socket.sendall(data)

    def receive(self) -> int:
        """Wait for bytes; how many requests they finished. Raises Interrupted."""
        data = self._socket.recv(RECEIVE_SIZE)
        if not data:
            raise Interrupted("the node ended the connection")
        finished = self._link.receive(data)
        if self._link.refusal:
            raise Interrupted(self._link.refusal)
        return finished

    def close(self) -> None:
        self._socket.close()

    def keep_in_flight(self, depth: int, ask: Callable[[], None], wanted: Callable[[int], bool]) -> int:
        """Ask, and again for each answer, while `wanted(asked)`; then wait for the rest. Requests answered in all."""
        asked = answered = 0
        while True:
            while asked - answered < depth and wanted(asked):
                ask()
                asked += 1
            self.send()
            if asked == answered:
                return answered
            answered += self.receive()


def append(port: int, link: Link, depth: int, events: int, seconds: float) -> float:
    driver = Driver(port, link)
    driver.keep_in_flight(depth, lambda: link.ask_append(events), lambda asked: asked < depth)
    start = time.perf_counter()
    until = start + seconds
    answered = driver.keep_in_flight(depth, lambda: link.ask_append(events), lambda _asked: time.perf_counter() < until)
    return answered * events / (time.perf_counter() - start)


def fill(port: int, link: Link, events: int, requests: int) -> float:
    start = time.perf_counter()
    driver = Driver(port, link)
    driver.keep_in_flight(FILL_DEPTH, lambda: link.ask_append(events), lambda asked: asked < requests)
    return requests * events / (time.perf_counter() - start)


def read(port: int, link: Link, events: int, page: int, seconds: float) -> float:
    driver = Driver(port, link)
    pages = events // page
    at = 0

    def ask() -> None:
        nonlocal at
        link.ask_read(at % pages * page, page)
        at += 1

    driver.keep_in_flight(1, ask, lambda asked: asked < 1)
    start = time.perf_counter()
    until = start + seconds
    answered = driver.keep_in_flight(1, ask, lambda _asked: time.perf_counter() < until)
    return answered * page / (time.perf_counter() - start)


def run(*arguments: object) -> float:
    """Run this module as a process of its own; what it printed. Raises Interrupted."""
    command = [sys.executable, "-m", "tests.benchmarks.cluster.load", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == INTERRUPTED:
        raise Interrupted(done.stdout.strip())
    done.check_returncode()
    return float(done.stdout)


def main(arguments: list[str]) -> int:
    try:
        rate = measure(arguments)
    except Interrupted as error:
        sys.stdout.write(f"{error}\n")
        return INTERRUPTED
    sys.stdout.write(f"{rate}\n")
    return 0


def measure(arguments: list[str]) -> float:
    match arguments:
        case [protocol, "append", port, log, depth, events, seconds]:
            return append(int(port), LINKS[protocol](log), int(depth), int(events), float(seconds))
        case [protocol, "fill", port, log, events, requests]:
            return fill(int(port), LINKS[protocol](log), int(events), int(requests))
        case [protocol, "read", port, log, events, page, seconds]:
            return read(int(port), LINKS[protocol](log), int(events), int(page), float(seconds))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
