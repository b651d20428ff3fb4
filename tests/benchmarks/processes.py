"""The processes that benchmarks run: real nodes (`vdb start`), and pycapnp's server and client."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

REGION = "ap-southeast-2"
ROOT_KEY = base64.b64encode(bytes(range(32))).decode()
CAPNP = "tests.benchmarks.capnp_client"


class NodeProcess:
    """`vdb start` on a data directory, with sealing and fsync as always; ready once made."""

    def __init__(self, data: Path, settings: str = "") -> None:
        """`settings`: a configuration file's text, for what the command line doesn't say."""
        self.data = data
        started = time.perf_counter()
        environment = {**os.environ, "VDB_ROOT_KEY": ROOT_KEY}
        command = [sys.executable, "-m", "vdb.cli", "start", "--data-dir", str(data), "--region", REGION]
        command += ["--address", "127.0.0.1:0", "--json"]
        if settings:
            file = data.with_suffix(".toml")
            file.write_text(settings)
            command += ["--config", str(file)]
        with data.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.seconds_to_start = time.perf_counter() - started
        """From the start of the process to its ready line; Python's own start and imports are in it."""
        assert line, f"the node didn't start: see {data.with_suffix('.log')}"
        self.port = int(json.loads(line)["address"].rpartition(":")[2])

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self.process.returncode is None:
            self.process.send_signal(number)
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@contextmanager
def empty_server() -> Iterator[int]:
    """pycapnp's own server with empty method bodies; its port."""
    process = subprocess.Popen([sys.executable, "-m", CAPNP, "serve"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def client(command: str, port: int, *arguments: float) -> float:
    """Run pycapnp's own client to its end; what it measured."""
    full = [sys.executable, "-m", CAPNP, command, str(port), *map(str, arguments)]
    done = subprocess.run(full, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)
