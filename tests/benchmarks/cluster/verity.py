"""VerityDB: three nodes of one cluster, settings as they come, sealed and synced before the answer."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import vdb
from tests.benchmarks.cluster import load
from tests.benchmarks.cluster.capnp_link import TENANT, CapnpLink
from tests.benchmarks.cluster.probe import seconds_to_append
from tests.benchmarks.cluster.system import (
    FAILOVER_MAX_S,
    NODES,
    PAGE,
    consecutive_ports,
    end_process,
    last_lines,
    run_process,
    wait_until,
)
from tests.benchmarks.processes import REGION

HOST = "127.0.0.1"
VDB = (sys.executable, "-m", "vdb.cli")
APPENDED, READABLE, PROBED = "appended", "readable", "probed"
FILL_EVENTS = 100
"""Events of a request of `fill`."""
CLIENT_MAX_S = 60.0
COMMITS_BEHIND_MAX = 1
"""Of a backup that has caught up: it learns of a commit with the next message."""


class VerityDB:
    name = "VerityDB"

    def __init__(self) -> None:
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._ports: list[int] = []
        self._killed = -1

    def absent(self) -> str:
        return ""

    def start(self, folder: Path) -> None:
        self._folder = folder / "cluster"
        self._found(folder / "init.log")
        # Each waits for the others before it says that it is ready.
        for number in range(NODES):
            self._start_node(number)
        for number in range(NODES):
            self._wait_for_node(number)
        addresses = ",".join(f"{HOST}:{port}" for port in self._ports)
        with vdb.connect_sync(addresses, tenant=TENANT, connect_for=CLIENT_MAX_S, retry_for=CLIENT_MAX_S) as client:
            for stream in (APPENDED, READABLE, PROBED):
                client.create_stream(stream, "phi", REGION)
        self._wait_for_members()

    def _found(self, log: Path) -> None:
        """Write the files of a new cluster, without TLS: nothing leaves this machine."""
        ports = consecutive_ports(2 * NODES)
        self._ports = ports[:NODES]
        command: list[str | Path] = [*VDB, "cluster", "init", "--dir", self._folder, "--nodes", str(NODES), "--no-tls"]
        command += ["--region", REGION, "--port", str(ports[0]), "--peer-port", str(ports[NODES])]
        run_process(command, log)

    def _start_node(self, number: int) -> None:
        command = [*VDB, "start", "--config", str(self._folder / f"n{number}.toml"), "--json"]
        with self._log(number).open("ab") as log:
            self._processes[number] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)

    def _log(self, number: int) -> Path:
        return self._folder / f"n{number}.log"

    def _wait_for_node(self, number: int) -> None:
        output = self._processes[number].stdout
        assert output is not None
        line = output.readline()
        output.close()
        if not line:
            raise RuntimeError(f"node {number} didn't start: {last_lines(self._log(number))}")
        assert json.loads(line)["ready"] is True

    def stop(self) -> None:
        for process in self._processes.values():
            if process.stdout is not None:
                process.stdout.close()
            end_process(process, signal.SIGTERM)
        self._processes.clear()

    def configuration(self) -> Sequence[str]:
        return (
            f"version {vdb.__version__}, {NODES} nodes of {sys.implementation.name}, settings as they come; no TLS",
            "an append is a publish to one PHI stream, without a session, a batch one publish of many; a read is "
            "linearizable, and goes through the primary",
            "load: Cap'n Proto frames on one connection to the primary, from a process of its own",
        )

    def append(self, depth: int, events: int, seconds: float) -> float:
        return load.run("capnp", "append", self._ports[self._primary()], APPENDED, depth, events, seconds)

    def fill(self, events: int) -> None:
        port = self._ports[self._primary()]
        load.run("capnp", "fill", port, READABLE, FILL_EVENTS, -(-events // FILL_EVENTS))

    def read(self, events: int, seconds: float) -> float:
        return load.run("capnp", "read", self._ports[self._primary()], READABLE, events, PAGE, seconds)

    def fail_over(self) -> float:
        self._killed = self._primary()
        left = [port for number, port in enumerate(self._ports) if number != self._killed]
        since = time.perf_counter()
        end_process(self._processes[self._killed], signal.SIGKILL)
        return seconds_to_append(since, left, lambda: CapnpLink(PROBED), within_s=FAILOVER_MAX_S)

    def restore(self) -> None:
        self._start_node(self._killed)
        self._wait_for_node(self._killed)
        self._wait_for_members()

    def _primary(self) -> int:
        """The number of the node that is the primary of the region's group, and answers as such."""
        found: list[int] = []

        def one_serves() -> bool:
            found.extend(number for number in range(NODES) if self._serves(number))
            return bool(found)

        wait_until(one_serves, "a node of VerityDB serves as the primary")
        return found[0]

    def _serves(self, number: int) -> bool:
        try:
            return bool(self._group(self._ports[number]).serving)
        except OSError:
            return False

    def _wait_for_members(self) -> None:
        def same_commit() -> bool:
            commits: list[int] = [self._group(port).commit for port in self._ports]
            return max(commits) - min(commits) <= COMMITS_BEHIND_MAX

        wait_until(same_commit, "VerityDB's nodes have caught up")

    def _group(self, port: int) -> Any:
        """What a node says of the region's group: a reader of GroupStatus."""
        link = CapnpLink(PROBED)
        driver = load.Driver(port, link)
        try:
            link.ask_status()
            driver.send()
            while link.status is None:
                driver.receive()
                driver.send()
        finally:
            driver.close()
        return next(group for group in link.status.groups if group.group == REGION)
