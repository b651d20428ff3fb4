"""The demo's node: `vdb start` as a child process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import trio

import vdb
from vdb.errors import NodeStopped, StartError

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0

_PACKAGE_HOME = Path(vdb.__file__).resolve().parent.parent
_COMMAND = (sys.executable, "-m", "vdb.cli", "start", "--log-format", "json", "--json")


class NodeProcess:
    """One run of the node. Its log goes to `log`."""

    def __init__(self, process: trio.Process, address: str, log: Path) -> None:
        self._process = process
        self._log = log
        self._ending = False
        self.address = address

    @classmethod
    async def start(cls, config: Path, address: str, log: Path) -> NodeProcess:
        """Start it and wait for its ready line. StartError with the end of its log if there is none."""
        with log.open("ab") as log_file:
            process = await _spawn(config, address, log_file)
        line = b""
        with trio.move_on_after(START_SECONDS_MAX):
            line = await _first_line(process)
        try:
            ready = json.loads(line)
            return cls(process, ready["address"], log)
        except (ValueError, KeyError):
            process.kill()
            raise StartError(f"the node didn't start: {await _last_line(log)}") from None

    async def watch(self) -> None:
        """Wait for its end. NodeStopped if nobody here ended it."""
        await self._process.wait()
        if not self._ending:
            raise NodeStopped(f"the node ended by itself: {await _last_line(self._log)}")

    async def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self._ending = True
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        self._ending = True
        self._process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_SECONDS_MAX):
            return await self._process.wait()
        await self.kill()
        return -signal.SIGKILL

    async def end(self) -> None:
        """See that it is gone, whatever happened."""
        self._ending = True
        if self._process.returncode is None:
            with trio.CancelScope(shield=True):
                await self.kill()


async def _spawn(config: Path, address: str, log: BinaryIO) -> trio.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VDB_")}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_PACKAGE_HOME), environment.get("PYTHONPATH"))))
    return await trio.lowlevel.open_process(
        [*_COMMAND, "--config", str(config), "--address", address],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        env=environment,
    )


async def _last_line(log: Path) -> str:
    lines = (await trio.Path(log).read_text(errors="replace")).strip().splitlines()
    return lines[-1] if lines else "it said nothing"


async def _first_line(process: trio.Process) -> bytes:
    assert process.stdout is not None
    line = b""
    while b"\n" not in line:
        chunk = await process.stdout.receive_some()
        if not chunk:
            break
        line += chunk
    return line
