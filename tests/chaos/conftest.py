"""A real node in a process of its own, that can be killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

CONFIG = """
[[projection]]
name = "latest"
streams = ["chaos-*"]

[projection.latest-by-id]
table = "latest"
key = "id"
payload = "json"

[projection.latest-by-id.columns]
value = "value"
"""


class RealNode:
    """`vdb start` on a fixed loopback port, started and killed as often as a test likes."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.data_dir = folder / "data"
        self.config = folder / "node.toml"
        self.config.write_text(CONFIG)
        self.environment = {**os.environ, "VDB_ROOT_KEY": b64encode(bytes(range(32))).decode()}
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start, and return when the node says that it is ready."""
        assert self.process is None
        command = [sys.executable, "-m", "vdb.cli", "start", "--data-dir", str(self.data_dir)]
        command += ["--region", "ap-southeast-2", "--address", self.address, "--config", str(self.config), "--json"]
        self.process = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, errors = self.process.communicate()
            raise AssertionError(f"the node didn't start: {errors}")
        assert json.loads(line)["ready"] is True

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.communicate()
        code = self.process.returncode
        self.process = None
        return code


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RealNode]:
    made = RealNode(tmp_path)
    yield made
    if made.process is not None:
        made.end(signal.SIGKILL)
