"""A real node in a process of its own, that can be killed; and SQL transactions whose fate is checked."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

import vdb
from vdb.client.sql_session import RemoteSession
from vdb.errors import DatabaseLocked, IndefiniteError, TransactionEnded
from vdb.sql.answers import SqlStatement

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


INSERT = "INSERT INTO entries (writer, serial, part, body) VALUES (?, ?, ?, ?)"
COUNT = "UPDATE writers SET done = done + 1 WHERE writer = ?"
SCHEMA = (
    "CREATE TABLE entries (id INTEGER PRIMARY KEY AUTOINCREMENT, writer, serial, part, body BLOB)",
    "CREATE TABLE writers (writer INTEGER PRIMARY KEY, done INTEGER)",
    "CREATE UNIQUE INDEX once ON entries (writer, serial, part)",
)
TABLES = {
    "entries": "SELECT rowid, * FROM entries ORDER BY rowid",
    "writers": "SELECT * FROM writers ORDER BY writer",
    "sqlite_sequence": "SELECT * FROM sqlite_sequence ORDER BY name",
}
Tables = dict[str, list[tuple[Any, ...]]]


class Ledger:
    """Transactions of several writers at once, what each was told of them, and what is there in the end."""

    def __init__(self, address: str, writers: int = 4) -> None:
        self.address = address
        self.writers = writers
        self.told: dict[tuple[int, int], str] = {}
        """By writer and serial number: committed, nothing, or unknown."""
        self.done = trio.Event()

    async def prepare(self) -> None:
        async with vdb.connect(self.address, connect_for=60) as client:
            await client.create_database("clinic")
            async with client.sql("clinic") as session:
                await session.batch(SCHEMA)
                rows = [(writer,) for writer in range(self.writers)]
                await session.executemany("INSERT INTO writers VALUES (?, 0)", rows)

    async def write(self, writer: int) -> None:
        """Run transactions until `done`."""
        async with vdb.connect(self.address, connect_for=60) as client:
            serial = 0
            async with client.sql("clinic", lock_timeout=30, timeout=120) as session:
                while not self.done.is_set():
                    try:
                        await self._transact(session, writer, serial)
                    except (TransactionEnded, DatabaseLocked):
                        self.told[writer, serial] = "nothing"
                    except IndefiniteError:
                        self.told[writer, serial] = "unknown"
                    else:
                        self.told[writer, serial] = "committed"
                    serial += 1

    async def _transact(self, session: RemoteSession, writer: int, serial: int) -> None:
        """One transaction in one of three forms: a single statement, a batch, interactive."""
        rows = [(writer, serial, part, os.urandom(part * 10)) for part in range(_parts_of(serial))]
        if serial % 3 == 0:
            await session.execute(INSERT, rows[0])
            return
        if serial % 3 == 1:
            inserts = [SqlStatement(sql=INSERT, parameters=row) for row in rows]
            await session.batch([*inserts, SqlStatement(sql=COUNT, parameters=(writer,))])
            return
        await session.execute("BEGIN IMMEDIATE")
        await session.executemany(INSERT, rows)
        await session.execute(COUNT, (writer,))
        await session.commit()

    async def tables(self, address: str = "", *, consistency: str = "linearizable") -> Tables:
        """What is there."""
        async with vdb.connect(address or self.address, connect_for=60) as client:
            async with client.sql("clinic", timeout=120, consistency=consistency) as session:
                return {name: await (await session.execute(query)).fetchall() for name, query in TABLES.items()}

    def check(self, found: Tables) -> None:
        """What is there is what the writers were told."""
        parts: Counter[tuple[int, int]] = Counter((row[2], row[3]) for row in found["entries"])
        counted: Counter[int] = Counter()
        for key, outcome in self.told.items():
            whole = 1 if key[1] % 3 == 0 else _parts_of(key[1])
            there = parts.pop(key, 0)
            assert there in (0, whole), f"transaction {key} is there by halves"
            assert outcome == "unknown" or (there > 0) == (outcome == "committed"), f"{key}: {outcome}, found {there}"
            counted[key[0]] += 1 if there and key[1] % 3 else 0
        assert not parts, "rows that nobody wrote"
        assert dict(found["writers"]) == {writer: counted[writer] for writer in range(self.writers)}

    @property
    def committed(self) -> int:
        """Transactions that were acknowledged."""
        return sum(outcome == "committed" for outcome in self.told.values())

    async def wait_for(self, more: int) -> None:
        """Wait until so many more are acknowledged."""
        wanted = self.committed + more
        with trio.fail_after(120):
            while self.committed < wanted:  # noqa: ASYNC110
                await trio.sleep(0.02)


def _parts_of(serial: int) -> int:
    return 1 + serial % 3


@pytest.fixture
def ledger() -> type[Ledger]:
    """`ledger(address)`."""
    return Ledger
