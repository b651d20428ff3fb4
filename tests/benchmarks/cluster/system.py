"""What a system under test can be asked to do, and what the three have in common."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

NODES = 3
PAGE = 1000
"""Events a request of a sequential read asks for."""
FAILOVER_MAX_S = 60.0
_START_MAX_S = 60.0
_POLL_S = 0.05


class System(Protocol):
    """One system of `NODES` nodes. `absent` may always be asked; the rest between `start` and `stop`."""

    name: str

    def absent(self) -> str:
        """What is missing on this machine, and how to get it; empty when the system can be started."""

    def start(self, folder: Path) -> None:
        """Start the nodes with their data in `folder`; returns when all are members and a write is accepted."""

    def stop(self) -> None:
        """End every process of the system; also when `start` failed half way."""

    def configuration(self) -> Sequence[str]:
        """Version, nodes, settings that matter, and how the load comes in; a line for each."""

    def append(self, depth: int, events: int, seconds: float) -> float:
        """Events per second with `depth` requests in flight at the primary, each of `events` events."""

    def fill(self, events: int) -> None:
        """Write the events that `read` reads, whatever else was written before."""

    def read(self, events: int, seconds: float) -> float:
        """Events per second, read in order, `PAGE` a request, one request after another."""

    def fail_over(self) -> float:
        """kill -9 of the primary; the seconds until another node acknowledged an append."""

    def restore(self) -> None:
        """Bring the killed node back as a member that has caught up."""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def consecutive_ports(count: int) -> list[int]:
    """As `free_ports`, one after the other."""
    while True:
        (first,) = free_ports(1)
        ports = list(range(first, first + count))
        if ports[-1] < 1 << 16 and all(_is_free(port) for port in ports):
            return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def start_process(command: Sequence[str | Path], log: Path, **options: object) -> subprocess.Popen[bytes]:
    """A process whose output goes to the end of `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **options)  # type: ignore[call-overload, no-any-return]


def run_process(command: Sequence[str | Path], log: Path, **options: object) -> None:
    """Run to the end. Raises RuntimeError that says where its output is."""
    with start_process(command, log, **options) as process:
        if process.wait() != 0:
            raise RuntimeError(f"{command[0]} ended with code {process.returncode}: {last_lines(log)}")


def last_lines(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else "no output"


def end_process(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal and wait for the end."""
    if process.poll() is None:
        process.send_signal(number)
        process.wait()


def wait_until(done: Callable[[], bool], what: str, *, within_s: float = _START_MAX_S) -> None:
    """Poll; an OSError or ValueError counts as not yet. Raises TimeoutError."""
    until = time.monotonic() + within_s
    last = ""
    while time.monotonic() < until:
        try:
            if done():
                return
        except (OSError, ValueError) as error:
            last = f" ({error})"
        time.sleep(_POLL_S)
    raise TimeoutError(f"{what}: not within {within_s:g} seconds{last}")


def find_programs(names: Sequence[str], pattern: str = "") -> dict[str, Path | None]:
    """In the last folder below the root that matches the pattern and has them all, or else on the PATH."""
    for folder in sorted(Path("/").glob(pattern), reverse=True) if pattern else ():
        if all(os.access(folder / name, os.X_OK) for name in names):
            return {name: folder / name for name in names}
    found = {name: shutil.which(name) for name in names}
    return {name: None if path is None else Path(path) for name, path in found.items()}
