"""NATS JetStream: one server with file storage, which syncs each write where its version knows how to."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.cluster.system import (
    end_process,
    find_programs,
    free_ports,
    last_lines,
    start_process,
    wait_until,
)
from tests.benchmarks.consumers.nats_link import NatsLink

STREAM = "BENCH"
CONSUMER = "worker"
SUBJECT = "bench.events"
PUBLISHED_AT_ONCE = 1_000


class Nats:
    name = "NATS JetStream"

    def __init__(self) -> None:
        self._program = find_programs(["nats-server"])["nats-server"]
        self._process: subprocess.Popen[bytes] | None = None
        self._link: NatsLink | None = None
        self._syncs = True

    def absent(self) -> str:
        return "" if self._program else "no nats-server on the PATH (Debian: nats-server)"

    def start(self, folder: Path) -> None:
        self._folder = folder
        (self._port,) = free_ports(1)
        self._syncs = self._starts(", sync_interval: always")
        if not self._syncs and not self._starts(""):
            raise RuntimeError(f"nats-server doesn't start: {last_lines(self._log)}")

    @property
    def _log(self) -> Path:
        return self._folder / "nats.log"

    def _starts(self, more: str) -> bool:
        """Whether the server takes this configuration."""
        config = self._folder / "nats.conf"
        config.write_text(f'listen: "127.0.0.1:{self._port}"\njetstream {{ store_dir: "{self._folder}"{more} }}\n')
        assert self._program is not None
        process = self._process = start_process([self._program, "-c", config], self._log)

        def connected() -> bool:
            if process.poll() is None:
                self._link = NatsLink(self._port)
            return True

        wait_until(connected, "NATS")
        return self._link is not None

    def stop(self) -> None:
        if self._link is not None:
            self._link.close()
        if self._process is not None:
            end_process(self._process, signal.SIGTERM)

    def configuration(self) -> Sequence[str]:
        assert self._program is not None
        told = subprocess.run([self._program, "--version"], capture_output=True, text=True, check=True)
        synced = "each write synced" if self._syncs else "this version syncs every 2 minutes, and can't for each write"
        return (
            f"{told.stdout.strip()}, one server, file storage; {synced}",
            "a pull consumer with explicit acknowledgement; the last of a batch is confirmed by the server",
        )

    def fill(self, payloads: Sequence[bytes]) -> None:
        """A new stream of these, and a consumer at its beginning."""
        link = self._linked()
        if self._filled:
            link.ask(f"$JS.API.STREAM.DELETE.{STREAM}", {})
        self._filled = True
        link.ask(
            f"$JS.API.STREAM.CREATE.{STREAM}",
            {"name": STREAM, "subjects": [SUBJECT], "storage": "file", "retention": "limits", "num_replicas": 1},
        )
        for start in range(0, len(payloads), PUBLISHED_AT_ONCE):
            link.publish(SUBJECT, payloads[start : start + PUBLISHED_AT_ONCE])
        config = {"durable_name": CONSUMER, "ack_policy": "explicit", "deliver_policy": "all", "max_ack_pending": 1_000}
        link.ask(f"$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.{CONSUMER}", {"stream_name": STREAM, "config": config})

    _filled = False

    def consume(self, batch: int) -> int:
        """Fetch a batch and acknowledge it; how many there were."""
        link = self._linked()
        messages = link.fetch(STREAM, CONSUMER, batch)
        if messages:
            link.acknowledge(messages)
        return len(messages)

    def _linked(self) -> NatsLink:
        assert self._link is not None, "the server runs"
        return self._link
