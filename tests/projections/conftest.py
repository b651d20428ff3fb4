"""Fakes for the projection tests: a log in memory, and a disk whose databases are used inline."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from vdb.events import encode_event
from vdb.projections.source import OpenedRun
from vdb.projections.store import close_sqlcipher, in_transaction, open_sqlcipher
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


class InlineDatabase:
    """A `ports.Database` over a real SQLCipher file, without threads."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._writer = open_sqlcipher(str(path), key)
        self._reader = open_sqlcipher(str(path), key, read_only=True)
        self.closed = False
        self.faults: list[Exception] = []
        """What the next calls of `run` raise instead of working."""
        self.read_faults: list[Exception] = []

    async def run(self, work: Callable[[Any], Any]) -> Any:
        await trio.lowlevel.checkpoint()
        if self.faults:
            raise self.faults.pop(0)
        try:
            return work(self._writer)
        finally:
            assert not in_transaction(self._writer), "work left a transaction open"

    async def read(self, work: Callable[[Any], Any]) -> Any:
        await trio.lowlevel.checkpoint()
        if self.read_faults:
            raise self.read_faults.pop(0)
        return work(self._reader)

    async def close(self) -> None:
        assert not self.closed
        self.closed = True
        close_sqlcipher(self._writer)
        close_sqlcipher(self._reader)


class InlineDisk:
    """The part of `ports.Disk` that projections use."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.databases: list[InlineDatabase] = []
        self.open_faults: list[Exception] = []
        """What the next calls of `open_database` raise."""
        self.first_faults: list[Exception] = []
        """The faults of the next database."""
        self.set_aside: list[str] = []

    async def make_directory(self, path: str) -> None:
        (self.root / path).mkdir(parents=True, exist_ok=True)

    async def set_database_aside(self, path: str) -> None:
        assert all(database.closed for database in self.databases)
        (self.root / path).rename(self.root / f"{path}.damaged")
        self.set_aside.append(path)

    async def open_database(self, path: str, key: bytes) -> InlineDatabase:
        if self.open_faults:
            raise self.open_faults.pop(0)
        self.databases.append(InlineDatabase(self.root / path, key))
        self.databases[-1].faults, self.first_faults = self.first_faults, []
        return self.databases[-1]


def make_envelope(
    type: str,
    body: bytes,
    *,
    subject: str = "",
    time: int = 0,
    event_id: bytes = bytes(16),
    actor: str = "dr",
    version: int = 1,
) -> bytes:
    return encode_envelope(
        EventEnvelope(event_id=event_id, type=type, version=version, time=time, subject=subject, actor=actor, body=body)
    )


@pytest.fixture
def log() -> FakeLog:
    return FakeLog()


@pytest.fixture
def disk(tmp_path: Path) -> InlineDisk:
    return InlineDisk(tmp_path)


@pytest.fixture
def envelope() -> Callable[..., bytes]:
    return make_envelope


@pytest.fixture
def typed() -> Callable[..., bytes]:
    """A registered event as a payload."""
    return lambda event, **more: encode_event(event, **({"event_id": bytes(16), "time": 0} | more))


@pytest.fixture
def memory_database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()
