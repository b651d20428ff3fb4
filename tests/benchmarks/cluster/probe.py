"""From a kill to the next acknowledgement: one append every few milliseconds to each node that is left.

The probe knows nothing of who becomes the primary. It asks every node, keeps asking whatever it hears, and opens a
connection again when it is lost, so that what it measures is the cluster and not a client's patience.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Sequence

from tests.benchmarks.cluster.link import Link

HOST = "127.0.0.1"
EVERY_S = 0.01
CONNECT_TIMEOUT_S = 0.25
RECEIVE_SIZE = 1 << 16


def seconds_to_append(since: float, ports: Sequence[int], make_link: Callable[[], Link], *, within_s: float) -> float:
    """From `since` (a reading of time.perf_counter) to the first append that any of the nodes acknowledged.

    Raises TimeoutError after `within_s` seconds.
    """
    probes = [_Probe(port, make_link) for port in ports]
    with selectors.DefaultSelector() as selector:
        try:
            turn = time.perf_counter()
            while turn < since + within_s:
                for probe in probes:
                    probe.ask(selector)
                turn = max(turn + EVERY_S, time.perf_counter())
                while (left := turn - time.perf_counter()) > 0:
                    for ready, _ in selector.select(left):
                        if ready.data.is_acknowledged(selector):
                            return time.perf_counter() - since
        finally:
            for probe in probes:
                probe.close(selector)
    heard = "; ".join(probe.heard for probe in probes)
    raise TimeoutError(f"no append was acknowledged within {within_s:g} seconds: {heard}")


class _Probe:
    """One node, and the connection to it if there is one."""

    def __init__(self, port: int, make_link: Callable[[], Link]) -> None:
        self._port = port
        self._make_link = make_link
        self._link: Link | None = None
        self._socket: socket.socket | None = None
        self._lost = ""

    @property
    def heard(self) -> str:
        refusal = self._link.refusal if self._link else ""
        return f"port {self._port}: {refusal or self._lost or 'no answer'}"

    def ask(self, selector: selectors.BaseSelector) -> None:
        try:
            if self._socket is None:
                self._socket = socket.create_connection((HOST, self._port), CONNECT_TIMEOUT_S)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(self._socket, selectors.EVENT_READ, self)
                self._link = self._make_link()
            assert self._link is not None
            self._link.ask_append(1)
            self._socket.sendall(self._link.data_to_send())
        except OSError as error:
            self._lost = str(error)
            self.close(selector)

    def is_acknowledged(self, selector: selectors.BaseSelector) -> bool:
        assert self._socket is not None
        assert self._link is not None
        try:
            data = self._socket.recv(RECEIVE_SIZE)
            finished = self._link.receive(data) if data else 0
            if data and (reply := self._link.data_to_send()):
                self._socket.sendall(reply)
        except (OSError, ValueError) as error:
            data, finished = b"", 0
            self._lost = str(error)
        if not data:
            self._lost = self._link.refusal or self._lost
            self.close(selector)
        return finished > 0

    def close(self, selector: selectors.BaseSelector) -> None:
        if self._socket is not None:
            if self._socket in selector.get_map():
                selector.unregister(self._socket)
            self._socket.close()
            self._socket = None
