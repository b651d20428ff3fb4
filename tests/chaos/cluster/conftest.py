"""Three or more real nodes in processes of their own, with a proxy on each link between them, and clients whose history
is checked. Written from the promises: nothing here knows how they are kept.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

import vdb
from sim.checkers.linearizable import Entry, check_linearizable
from sim.history import AppendedTo, Call, History, Outcome, StreamKey
from sim.verdict import Verdict
from vdb.errors import DefiniteError, VerityError

REGION = "ap-southeast-2"
CONFIG_LINES = 'key-file = "root.key"\n'


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for probe in sockets:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in sockets]
    for probe in sockets:
        probe.close()
    return ports


class Link:
    """One direction between two nodes: a proxy that passes on, holds back, or cuts."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.open = trio.Event()
        self.open.set()
        self.delay = 0.0
        """Seconds that each piece is held back."""

    def cut(self) -> None:
        """Bytes stop, in this direction, and connections stay: a link that fails silently."""
        self.open = trio.Event()

    def heal(self) -> None:
        self.open.set()
        self.delay = 0.0

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._pass, [listener])

    async def _pass(self, near: trio.SocketStream) -> None:
        try:
            far = await trio.open_tcp_stream("127.0.0.1", self.target)
        except OSError:
            await near.aclose()
            return
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(self._copy, near, far, nursery.cancel_scope, True)
            nursery.start_soon(self._copy, far, near, nursery.cancel_scope, False)

    async def _copy(
        self, source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope, forward: bool
    ) -> None:
        try:
            while data := await source.receive_some(65536):
                if forward:
                    await trio.sleep(self.delay)
                    await self.open.wait()
                await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()


class RealCluster:
    """`vdb cluster init`, then `vdb start --config` for each; killed, stopped and wiped as a test likes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[int, subprocess.Popen[str]] = {}
        self.configs: dict[int, Path] = {}
        self.addresses: dict[int, str] = {}
        self.links: dict[tuple[int, int], Link] = {}
        self.base = 0

    # The command line --------------------------------------------------------------------------------------------

    def vdb(self, *arguments: str, timeout: float = 120.0) -> dict[str, Any]:
        """Run a command with --json; its one object."""
        environment = {**os.environ, "VDB_ADDRESS": self.address}
        command = [sys.executable, "-m", "vdb.cli", *arguments, "--json"]
        done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=timeout)
        assert done.returncode == 0, f"vdb {' '.join(arguments)}: {done.stdout} {done.stderr}"
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    @property
    def address(self) -> str:
        """All nodes, for clients."""
        return ",".join(self.addresses.values())

    def init(self, nodes: int) -> None:
        ports = free_ports(1)
        self.base = random.Random(ports[0]).randrange(20_000, 32_000, 40)
        command = [sys.executable, "-m", "vdb.cli", "cluster", "init", "--dir", str(self.folder), "--no-tls", "--json"]
        command += [
            "--nodes",
            str(nodes),
            "--port",
            str(self.base),
            "--peer-port",
            str(self.base + 20),
            "--region",
            REGION,
        ]
        subprocess.run(command, check=True, capture_output=True)
        for number in range(nodes):
            self.learn(number, self.folder / f"n{number}.toml")

    def ports(self, number: int) -> tuple[int, int]:
        """Where a node that joins listens: for clients, and for other nodes."""
        return self.base + number, self.base + 20 + number

    def learn(self, number: int, config: Path) -> None:
        """A node's file is there."""
        self.configs[number] = config
        self.addresses[number] = tomllib.loads(config.read_text())["node"]["address"]

    async def proxy(self, nursery: trio.Nursery) -> None:
        """Lay a proxy on every link: node i's file names, for node j, the port of the link from i to j."""
        peers = {
            number: tomllib.loads(config.read_text())["node"]["peer-address"] for number, config in self.configs.items()
        }
        for i, config in self.configs.items():
            head, *members = config.read_text().split("[[members]]")
            for j, address in peers.items():
                if i != j:
                    link = self.links[i, j] = Link(int(address.rpartition(":")[2]))
                    await nursery.start(link.run)
                    members[j] = members[j].replace(address, f"127.0.0.1:{link.port}")
            config.write_text("[[members]]".join([head, *members]))

    # Lives -------------------------------------------------------------------------------------------------------

    def launch(self, number: int, *flags: str) -> None:
        assert number not in self.processes
        command = [sys.executable, "-m", "vdb.cli", "start", "--config", str(self.configs[number]), "--json", *flags]
        errors = (self.folder / f"n{number}.log").open("a")
        self.processes[number] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        errors.close()

    def wait_ready(self, number: int) -> None:
        stdout = self.processes[number].stdout
        assert stdout is not None
        line = stdout.readline()
        assert line, f"node {number} didn't start: {self.log(number)}"

    def start(self, *numbers: int) -> None:
        for number in numbers:
            self.launch(number)
        for number in numbers:
            self.wait_ready(number)

    def end(self, number: int, how: signal.Signals = signal.SIGKILL) -> int:
        process = self.processes.pop(number)
        process.send_signal(how)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        return process.returncode

    def signal(self, number: int, how: signal.Signals) -> None:
        self.processes[number].send_signal(how)

    def data_dir(self, number: int) -> Path:
        return self.folder / f"data-n{number}"

    def log(self, number: int) -> str:
        return (self.folder / f"n{number}.log").read_text()[-3000:]

    def primary(self) -> int:
        """The number of the node that leads the region's group now."""
        for _ in range(100):
            for node in self.vdb("status")["nodes"]:
                if any(group["group"] == REGION and group["serving"] for group in node.get("groups") or ()):
                    return int(node["number"])
        raise AssertionError("no node leads the region's group")

    def connect(self, **options: Any) -> Any:
        return vdb.connect(self.address, **{"retry_for": 60, "connect_for": 60, **options})


class Load:
    """Clients that append and read until told to stop, and what they were told."""

    def __init__(self, cluster: RealCluster, streams: tuple[str, ...] = ("chaos-a", "chaos-b")) -> None:
        self.cluster = cluster
        self.streams = streams
        self.history = History()
        self.acknowledged: list[float] = []
        """When an append was acknowledged, in seconds of trio's clock."""
        self.done = trio.Event()
        self.failed: list[VerityError] = []
        self._progress = trio.Event()

    async def create(self) -> None:
        async with self.cluster.connect() as client:
            for stream in self.streams:
                await client.create_stream(stream, "phi", REGION)

    async def write(self, number: int) -> None:
        """One client: appends of one to three events, now and then a read."""
        async with self.cluster.connect() as client:
            serial = 0
            while not self.done.is_set():
                serial += 1
                key = StreamKey(1, REGION, self.streams[serial % len(self.streams)])
                if serial % 5 == 0:
                    await self._read(client, number, key)
                payloads = tuple(f"{number}.{serial}.{at}".encode() for at in range(1 + serial % 3))
                call = self.history.invoke(number, "append", parts=(AppendedTo(key, payloads),))
                try:
                    published = await client.publish(key.name, list(payloads), timeout=60)
                except DefiniteError as error:
                    self._fail(call, Outcome.REFUSED, error)
                except VerityError as error:
                    self._fail(call, Outcome.UNKNOWN, error)
                else:
                    call.parts = (AppendedTo(key, payloads, published.first_offset),)
                    self.history.complete(call, Outcome.OK)
                    self.acknowledged.append(trio.current_time())
                    self._progress.set()
                    self._progress = trio.Event()

    def _fail(self, call: Call, outcome: Outcome, error: VerityError) -> None:
        self.failed.append(error)
        self.history.complete(call, outcome)

    async def _read(self, client: Any, number: int, key: StreamKey) -> None:
        call = self.history.invoke(number, "read", stream=key)
        try:
            events = await client.read(key.name, 0, 1_000_000, timeout=60)
        except VerityError as error:
            self._fail(call, Outcome.REFUSED, error)
            return
        call.seen = tuple(event.payload for event in events)
        call.head = len(events)
        self.history.complete(call, Outcome.OK)

    async def wait_for(self, count: int) -> None:
        """Wait for so many more acknowledged appends."""
        goal = len(self.acknowledged) + count
        with trio.fail_after(90):
            while len(self.acknowledged) < goal:
                await self._progress.wait()

    async def check(self) -> None:
        """Read everything back: nothing acknowledged is lost or doubled, and the whole history is linearizable."""
        async with self.cluster.connect() as client:
            events = await client.read_log(REGION, 0, 10_000_000, timeout=120)
        owners = {payload: call for call in self.history.calls for part in call.parts for payload in part.payloads}
        entries: list[Entry] = []
        payloads: list[bytes] = []
        for event in events:
            key = StreamKey(1, REGION, event.stream)
            if payloads and owners.get(payloads[0]) is owners.get(event.payload):
                payloads.append(event.payload)
                entries[-1] = Entry(key, entries[-1].first_offset, tuple(payloads))
            else:
                payloads = [event.payload]
                entries.append(Entry(key, event.offset, (event.payload,)))
        verdict = Verdict()
        check_linearizable(verdict, self.history, entries)
        assert verdict.ok, verdict.violation
        assert len({event.payload for event in events}) == len(events), "an event is there twice"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[RealCluster]:
    made = RealCluster(tmp_path)
    yield made
    for number in list(made.processes):
        made.signal(number, signal.SIGCONT)
        made.end(number)


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print a line for whoever watches."""
    writer = request.config.get_terminal_writer()
    return lambda text: writer.line(f"\n  {text}")


@pytest.fixture
def under_load() -> Callable[..., Awaitable[Load]]:
    """Run `act(load)` while clients work; then check their history."""

    async def run(cluster: RealCluster, act: Callable[[Load], Awaitable[None]], writers: int = 4) -> Load:
        load = Load(cluster)
        await load.create()
        async with trio.open_nursery() as nursery:
            for number in range(writers):
                nursery.start_soon(load.write, number)
            await load.wait_for(20)
            await act(load)
            await load.wait_for(20)
            load.done.set()
        await load.check()
        return load

    return run
