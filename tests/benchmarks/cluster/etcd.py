"""etcd: three members of Debian's etcd-server, as they come, each on the machine's own disk.

A write goes to the leader, which saves the spare hop. The leader and two others sync their logs before the answer: that
is what etcd does unless it is told not to.
"""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.cluster import load
from tests.benchmarks.cluster.etcd_link import EtcdLink, fields
from tests.benchmarks.cluster.probe import seconds_to_append
from tests.benchmarks.cluster.system import (
    FAILOVER_MAX_S,
    NODES,
    PAGE,
    end_process,
    find_programs,
    free_ports,
    start_process,
    wait_until,
)

HOST = "127.0.0.1"
READABLE = "readable"
FILL_EVENTS = 100
_STATUS_TIMEOUT_S = 2.0
_HEADER, _LEADER, _MEMBER_ID = 1, 4, 2
"""Fields of StatusResponse and of its ResponseHeader."""


class Etcd:
    name = "etcd"

    def __init__(self) -> None:
        self._program = find_programs(["etcd"])["etcd"]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._client_ports: list[int] = []
        self._logs = itertools.count()
        self._killed = -1

    def absent(self) -> str:
        return "" if self._program else "no etcd on the PATH (Debian: etcd-server)"

    def start(self, folder: Path) -> None:
        self._folder = folder
        ports = free_ports(2 * NODES)
        self._client_ports, self._peer_ports = ports[:NODES], ports[NODES:]
        for number in range(NODES):
            self._start_node(number)
        self._wait_for_all()

    def _start_node(self, number: int) -> None:
        assert self._program is not None
        peers = [f"http://{HOST}:{port}" for port in self._peer_ports]
        client = f"http://{HOST}:{self._client_ports[number]}"
        options = {
            "name": f"n{number}",
            "data-dir": str(self._folder / f"n{number}"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peers[number],
            "initial-advertise-peer-urls": peers[number],
            "initial-cluster": ",".join(f"n{at}={peer}" for at, peer in enumerate(peers)),
            "initial-cluster-state": "new",
        }
        flags = itertools.chain.from_iterable((f"--{key}", value) for key, value in options.items())
        command: list[str | Path] = [self._program, *flags]
        self._processes[number] = start_process(command, self._folder / f"n{number}.log")

    def _wait_for_all(self) -> None:
        def same_leader() -> bool:
            leaders = [self._status(port)[1] for port in self._client_ports]
            return leaders[0] != 0 and len(dict.fromkeys(leaders)) == 1

        wait_until(same_leader, "etcd's members agree on a leader")

    def _status(self, port: int) -> tuple[int, int]:
        """Of one member: its id and its leader's."""
        with socket.create_connection((HOST, port), _STATUS_TIMEOUT_S) as stream:
            link = EtcdLink("")
            link.ask_status()
            stream.sendall(link.data_to_send())
            while True:
                data = stream.recv(1 << 16)
                if not data:
                    raise ConnectionError("the member ended the connection")
                for answer in link.receive_messages(data):
                    found = dict(fields(answer))
                    header = found[_HEADER]
                    assert isinstance(header, bytes)
                    return int(dict(fields(header))[_MEMBER_ID]), int(found.get(_LEADER, 0))

    def _leader(self) -> int:
        """The number of the node that leads."""
        for number, port in enumerate(self._client_ports):
            member, leader = self._status(port)
            if member == leader:
                return number
        raise RuntimeError("etcd has no leader")

    def stop(self) -> None:
        for process in self._processes.values():
            end_process(process, signal.SIGTERM)
        self._processes.clear()

    def configuration(self) -> Sequence[str]:
        assert self._program is not None
        said = subprocess.run([self._program, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
        version = said.partition("etcd Version: ")[2].split("\n")[0]
        return (
            f"version {version}, {NODES} members, settings as they come: the log is synced by a majority before the "
            "answer; heartbeat 100 ms, election 1,000 ms; no TLS",
            "an append is a Put of a new key, a batch is one Txn of Puts, a read is a Range by keys (linearizable)",
            "load: gRPC frames on one connection to the leader, from a process of its own",
        )

    def append(self, depth: int, events: int, seconds: float) -> float:
        log = f"appended/{next(self._logs)}"
        return load.run("etcd", "append", self._client_ports[self._leader()], log, depth, events, seconds)

    def fill(self, events: int) -> None:
        port = self._client_ports[self._leader()]
        load.run("etcd", "fill", port, READABLE, FILL_EVENTS, -(-events // FILL_EVENTS))

    def read(self, events: int, seconds: float) -> float:
        return load.run("etcd", "read", self._client_ports[self._leader()], READABLE, events, PAGE, seconds)

    def fail_over(self) -> float:
        self._killed = self._leader()
        left = [port for number, port in enumerate(self._client_ports) if number != self._killed]
        log = f"appended/{next(self._logs)}"
        since = time.perf_counter()
        end_process(self._processes[self._killed], signal.SIGKILL)
        return seconds_to_append(since, left, lambda: EtcdLink(log), within_s=FAILOVER_MAX_S)

    def restore(self) -> None:
        self._start_node(self._killed)
        self._wait_for_all()
