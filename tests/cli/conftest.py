"""Real nodes as child processes, and the command line as a function."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field, frozen

import vdb
from vdb.cli import main
from vdb.world.keys import generate_root_key

HOME = Path(vdb.__file__).resolve().parent.parent
SECONDS_MAX = 120
SMALL_LIMITS = "message-size-max = 65536\nwal-slots = 96\ncheckpoint-interval = 64\n"


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VDB_")}
    return {**kept, "PYTHONPATH": str(HOME), **(extra or {})}


@frozen
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Standard output as one JSON object a line; fails if anything else stands there."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def object(self) -> dict[str, Any]:
        (found,) = self.objects
        return found

    @property
    def error(self) -> dict[str, Any]:
        """The error object on standard error."""
        found: dict[str, Any] = json.loads(self.err.strip().splitlines()[-1])["error"]
        return found


RunVdb = Callable[..., Ran]


@pytest.fixture(scope="session")
def run_vdb() -> RunVdb:
    """Run `vdb ARGUMENTS` to its end."""

    def run(*arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "vdb.cli", *arguments],
            input=stdin,
            capture_output=True,
            timeout=SECONDS_MAX,
            env=environment(env),
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@define
class NodeProcess:
    """A node that is ready."""

    process: subprocess.Popen[bytes]
    ready: dict[str, Any]
    directory: Path

    @property
    def address(self) -> str:
        return str(self.ready["address"])

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal it, and wait for its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(SECONDS_MAX)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def start_arguments(directory: Path, *more: str) -> list[str]:
    """Arguments of `vdb start` for a node of small files in `directory`, with a key of its own."""
    directory.mkdir(exist_ok=True)
    config, key = directory / "node.toml", directory / "root.key"
    config.write_text(
        f'[node]\nregion = "ap-southeast-2"\ndata-dir = "data"\nkey-file = "root.key"\n[limits]\n{SMALL_LIMITS}'
    )
    if not key.exists():
        key.touch(mode=0o600)
        key.write_text(generate_root_key())
    return ["start", "--config", str(config), "--address", "127.0.0.1:0", *more]


StartNode = Callable[..., NodeProcess]


@pytest.fixture(scope="module")
def start_node() -> Iterator[StartNode]:
    """Start nodes; they are killed at the end of the module."""
    started: list[NodeProcess] = []

    def start(directory: Path, *more: str, arguments: Sequence[str] | None = None, config: str = "") -> NodeProcess:
        """`config` is added to the configuration file that `start_arguments` writes."""
        command = list(arguments) if arguments is not None else start_arguments(directory, *more)
        if config:
            with (directory / "node.toml").open("a") as file:
                file.write(config)
        with (directory / "node.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "vdb.cli", *command, "--json"],
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(),
            )
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            process.wait(SECONDS_MAX)
            process.stdout.close()
            pytest.fail(f"the node didn't start: {(directory / 'node.log').read_text()}")
        node = NodeProcess(process, json.loads(line), directory)
        started.append(node)
        return node

    yield start
    for node in started:
        if node.process.poll() is None:
            node.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def node(start_node: StartNode, tmp_path_factory: pytest.TempPathFactory) -> NodeProcess:
    """One node for all tests of a module."""
    return start_node(tmp_path_factory.mktemp("node"))


@pytest.fixture
def follow_vdb() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start `vdb ARGUMENTS` and let it run; what still runs at the test's end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, address: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "vdb.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment({"VDB_ADDRESS": address}),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(SECONDS_MAX)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch) -> RunVdb:
    """As `run_vdb`, in this process: no standard input, and much faster."""

    def run(*arguments: str, env: Mapping[str, str] | None = None) -> Ran:
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main.run(arguments)
        return Ran(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def vdb_at(node: NodeProcess, run_here: RunVdb) -> RunVdb:
    """Run a command against the module's node."""

    def run(*arguments: str) -> Ran:
        return run_here(*arguments, env={"VDB_ADDRESS": node.address})

    return run


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], int]:
    """The first of so many ports in a row on which nobody listens."""

    def find(count: int) -> int:
        for first in range(20_000 + (time.monotonic_ns() // 1000) % 10_000, 32_000):
            held: list[socket.socket] = []
            try:
                held.extend(socket.create_server(("127.0.0.1", first + number)) for number in range(count))
            except OSError:
                continue
            finally:
                for one in held:
                    one.close()
            return first
        raise AssertionError("no ports are free")

    return find


@define
class NodesOfCluster:
    """Nodes that are started by their files `n0.toml`, `n1.toml`, ... of one folder, and the command line."""

    place: Path
    port: int
    """Of the clients' first; the others follow."""
    start_node: StartNode
    run_here: RunVdb | None = None
    nodes: dict[int, NodeProcess] = field(factory=dict)

    def address(self, *numbers: int) -> str:
        return ",".join(f"127.0.0.1:{self.port + number}" for number in numbers)

    @property
    def tls(self) -> vdb.TlsConfig:
        files = self.place / "tls"
        return vdb.TlsConfig(cert=files / "client.pem", key=files / "client.key", ca=files / "ca.pem")

    def vdb(self, *arguments: str, fine: bool = True) -> Ran:
        """`fine`: it has to succeed."""
        environment = {
            "VDB_ADDRESS": self.address(0, 1, 2),
            "VDB_TLS_CERT": str(self.tls.cert),
            "VDB_TLS_KEY": str(self.tls.key),
            "VDB_TLS_CA": str(self.tls.ca),
        }
        assert self.run_here is not None
        ran = self.run_here(*arguments, env=environment)
        assert not fine or ran.code == 0, ran.out + ran.err
        return ran

    def limit(self, *numbers: int, limits: str = SMALL_LIMITS) -> None:
        """Small files."""
        for number in numbers:
            with (self.place / f"n{number}.toml").open("a") as file:
                file.write(f"\n[limits]\n{limits}")

    def start(self, *numbers: int, more: Sequence[str] = ()) -> None:
        """`more`: arguments of `vdb start`."""

        def start(number: int) -> None:
            arguments = ["start", "--config", str(self.place / f"n{number}.toml"), *more]
            self.nodes[number] = self.start_node(self.place, arguments=arguments)

        with ThreadPoolExecutor(len(numbers)) as pool:
            list(pool.map(start, numbers))

    def end(self) -> None:
        for number in list(self.nodes):
            assert self.nodes.pop(number).end() == 0, number


@pytest.fixture(scope="module")
def nodes_of_cluster(start_node: StartNode) -> Callable[[Path, int], NodesOfCluster]:
    """Make a `NodesOfCluster` of a folder that has the files; a test sets its `run_here`."""

    def make(place: Path, port: int) -> NodesOfCluster:
        return NodesOfCluster(place, port, start_node)

    return make


@pytest.fixture
def cluster(
    tmp_path: Path, start_node: StartNode, run_here: RunVdb, free_ports: Callable[[int], int]
) -> NodesOfCluster:
    """Three nodes with TLS, as `vdb cluster init` sets them up; none is started."""
    port = free_ports(20)
    made = NodesOfCluster(tmp_path / "cluster", port, start_node, run_here)
    more = ("--port", str(port), "--peer-port", str(port + 10))
    assert run_here("cluster", "init", "--dir", str(made.place), *more).code == 0
    return made
