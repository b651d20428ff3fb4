"""Fakes for the projection tests: a log in memory, and a disk whose databases are plain SQLite files."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from vdb.errors import WrongKey
from vdb.events import encode_event
from vdb.projections.source import OpenedRun
from vdb.types import DataClass, GroupId, StreamId, TenantId
from vdb.wire.event import EventEnvelope, encode_batch, encode_envelope

LOCAL = GroupId("eu-west-1")
GLOBAL = GroupId("global")
TENANT = TenantId(1)


class FakeLog:
    """An EventSource over lists. Positions of a group are shared by its tenants."""

    def __init__(self) -> None:
        self.runs: dict[GroupId, list[OpenedRun]] = {GLOBAL: [], LOCAL: []}
        self.next: dict[GroupId, int] = {GLOBAL: 0, LOCAL: 0}
        self.offsets: dict[tuple[TenantId, str], int] = {}
        self._changed = trio.Event()

    def publish(
        self,
        stream: str,
        payloads: Sequence[bytes],
        *,
        group: GroupId = LOCAL,
        tenant: TenantId = TENANT,
        schema_id: int = 1,
    ) -> int:
        """Append one run; the group's next position."""
        offset = self.offsets.get((tenant, stream), 0)
        self.runs[group].append(
            OpenedRun(
                tenant=tenant,
                group=group,
                stream=stream,
                stream_id=StreamId(1 + sorted({stream, *(name for _, name in self.offsets)}).index(stream)),
                first_offset=offset,
                first_position=self.next[group],
                time=1_000_000 + self.next[group],
                data_class=DataClass.PHI if group == LOCAL else DataClass.NON_PHI,
                schema_id=schema_id,
                batch=encode_batch(list(payloads)),
                event_ids=b"",
                count=len(payloads),
            )
        )
        self.offsets[tenant, stream] = offset + len(payloads)
        self.next[group] += len(payloads)
        self._changed.set()
        self._changed = trio.Event()
        return self.next[group]

    def groups(self) -> Sequence[GroupId]:
        return tuple(self.runs)

    def head(self, tenant: TenantId, group: GroupId) -> int:
        return max((run.next_position for run in self.runs[group] if run.tenant == tenant), default=0)

    async def read_log(
        self, tenant: TenantId, group: GroupId, from_position: int, max_events: int
    ) -> tuple[Sequence[OpenedRun], int]:
        await trio.lowlevel.checkpoint()
        found: list[OpenedRun] = []
        for run in self.runs[group]:
            if run.tenant == tenant and run.next_position > from_position:
                if found and sum(one.count for one in found) + run.count > max_events:
                    return found, found[-1].next_position
                found.append(run)
        return found, max(from_position, self.next[group])

    async def wait_for_events(self, tenant: TenantId, positions: Mapping[GroupId, int]) -> None:
        while all(self.head(tenant, group) <= position for group, position in positions.items()):
            await self._changed.wait()


class FakeDatabase:
    def __init__(self, path: Path) -> None:
        self._writer = sqlite3.connect(path, isolation_level=None)
        self._writer.execute("PRAGMA journal_mode = WAL")
        self._reader = sqlite3.connect(path, isolation_level=None)
        self._reader.execute("PRAGMA query_only = 1")
        self.closed = False

    async def run(self, work: Callable[[Any], Any]) -> Any:
        await trio.lowlevel.checkpoint()
        try:
            return work(self._writer)
        finally:
            assert not self._writer.in_transaction, "work left a transaction open"

    async def read(self, work: Callable[[Any], Any]) -> Any:
        await trio.lowlevel.checkpoint()
        return work(self._reader)

    async def close(self) -> None:
        self.closed = True
        self._writer.close()
        self._reader.close()


class FakeDisk:
    """The part of `ports.Disk` that projections use. Remembers each file's key, and refuses another."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.keys: dict[str, bytes] = {}
        self.databases: list[FakeDatabase] = []

    async def make_directory(self, path: str) -> None:
        (self.root / path).mkdir(parents=True, exist_ok=True)

    async def open_database(self, path: str, key: bytes) -> FakeDatabase:
        if self.keys.setdefault(path, key) != key:
            raise WrongKey(f"{path}: the key doesn't fit")
        database = FakeDatabase(self.root / path)
        self.databases.append(database)
        return database


def make_envelope(
    type: str, body: bytes, *, subject: str = "", time: int = 0, event_id: bytes = bytes(16), actor: str = "dr"
) -> bytes:
    return encode_envelope(
        EventEnvelope(event_id=event_id, type=type, time=time, subject=subject, actor=actor, body=body)
    )


@pytest.fixture
def log() -> FakeLog:
    return FakeLog()


@pytest.fixture
def disk(tmp_path: Path) -> FakeDisk:
    return FakeDisk(tmp_path)


@pytest.fixture
def envelope() -> Callable[..., bytes]:
    return make_envelope


@pytest.fixture
def typed() -> Callable[..., bytes]:
    """A registered event as a payload."""
    return lambda event, **more: encode_event(event, **({"event_id": bytes(16), "time": 0} | more))


@pytest.fixture
def memory_database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()
