"""Real nodes as child processes, and the command line as a function."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import define, frozen

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
