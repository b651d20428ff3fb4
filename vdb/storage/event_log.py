"""The event log of one group: a log of segments per tenant, under `<directory>/log/t_<tenant>/`.

Rules
- `append` is called for each AppendRecord of a committed op, in order, and does no IO: records wait in memory, where
  readers see them at once. The WAL keeps them durable until a checkpoint has them.
- A checkpoint writes and syncs the segments of the tenants that changed since the one before, a bounded number at
  a time, while appends and reads go on. It returns rows for the checkpoint's tables; with those, the log opens again.
- Past TAIL_BYTES_MAX of waiting records, `run` writes them early, without a sync. What a crash leaves of that is cut.
- No file is opened until its tenant is touched. Files and indexes in memory are bounded, whatever the tenants.
- One writer at a time: a checkpoint and an early write exclude each other.
- Segments that an op prunes become stubs with the next checkpoint (`vdb.storage.pruning`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import trio
from attrs import define, field

from vdb.errors import DamagedData, DiskFailed, DiskFull, VerityError
from vdb.kernel.effect import AppendRecord, PruneSegments
from vdb.kernel.erasure_command import PrunedSegment
from vdb.limits import Limits
from vdb.marks import mark
from vdb.ports import Disk
from vdb.storage.log_rows import ClosedSegment, Cursor, Stretch, decode_segment_key, segment_key, tenant_key
from vdb.storage.pruning import Removals, make_stub, plan_stub
from vdb.storage.repair import REPAIR_RETRY_SECONDS, REPAIRS_MAX, Repair
from vdb.storage.segment import Frame
from vdb.storage.tables import StorageTable
from vdb.storage.tenant_log import LogFiles, TenantLog
from vdb.storage.tenant_reader import place_of, read_log, read_stream
from vdb.types import StreamId, TenantId

__all__ = ["EventLog", "Frame", "LogCheckpoint"]

TAIL_BYTES_MAX = 8 * 1024 * 1024
DISK_FULL_RETRY_SECONDS = 0.25
WRITERS = 8
"""Tenants whose files a checkpoint writes and syncs at once."""
WARM_TENANTS_MAX = 256
"""Tenants whose open segment's index is kept in memory between checkpoints."""

T = TypeVar("T")
Rows = dict[int, dict[bytes, bytes | None]]


@define(eq=False)
class LogCheckpoint:
    """What a checkpoint covers: the tenants that changed, each up to a number of records."""

    waiting: dict[int, tuple[TenantLog, int]] = field(repr=False)
    """By tenant; shrinks while the checkpoint is written."""
    rows: Rows = field(repr=False)
    pruned: dict[int, list[PrunedSegment]] = field(factory=dict)
    """By tenant: segments that become stubs."""


class EventLog:
    """See the module's docstring."""

    def __init__(self, shared: LogFiles, cursors: dict[int, bytes], closed: dict[int, list[ClosedSegment]]) -> None:
        self._shared = shared
        self._cursors = cursors
        self._closed = closed
        self._logs: dict[int, TenantLog] = {}
        self._dirty: dict[int, TenantLog] = {}
        self._warm: OrderedDict[int, TenantLog] = OrderedDict()
        self._removals = Removals(shared.disk, shared.files)
        self._pruned: dict[int, list[PrunedSegment]] = {}
        """By tenant, since the last checkpoint began."""
        self._writer = trio.Lock()
        self._checkpoint: LogCheckpoint | None = None
        self._wake = trio.Event()

    @classmethod
    async def open(
        cls,
        disk: Disk,
        directory: str,
        limits: Limits,
        tables: Mapping[int, Mapping[bytes, bytes]],
        *,
        group_hash: bytes,
    ) -> EventLog:
        """The log as the checkpoint's rows describe it; `tables` holds those of `StorageTable`, others are ignored.

        The ops after the checkpoint are appended again by the replay of the WAL. Touches no tenant's file.
        """
        await disk.make_directory(f"{directory}/log")
        shared = LogFiles(disk, f"{directory}/log", group_hash, limits.segment_size, limits.open_files_max)
        cursors = {
            int.from_bytes(key, "big"): bytes(row) for key, row in tables.get(StorageTable.EVENT_LOGS, {}).items()
        }
        closed: dict[int, list[ClosedSegment]] = {}
        for key, row in sorted(tables.get(StorageTable.SEGMENTS, {}).items()):
            tenant, number = decode_segment_key(key)
            closed.setdefault(tenant, []).append(ClosedSegment.decode(number, row))
        opened = cls(shared, cursors, closed)
        for tenant, segments in closed.items():
            opened._remove(tenant, segments)
        return opened

    @property
    def tail_bytes(self) -> int:
        """Bytes of records that aren't in a file yet."""
        return self._shared.waiting_bytes

    def tenants(self) -> list[int]:
        """All tenants that have records, sorted."""
        return sorted(self._cursors.keys() | self._logs.keys())

    def next_position(self, tenant: TenantId) -> int:
        """One above the position of the tenant's last event; 0 without any."""
        return self._log(tenant).next_position

    def append(self, effect: AppendRecord) -> None:
        """Add a committed record. No IO, no suspension."""
        tenant = effect.tenant
        log = self._logs.get(tenant) or self._look(tenant)
        log.append(effect)
        self._logs[tenant] = self._dirty[tenant] = log
        if self._shared.waiting_bytes > TAIL_BYTES_MAX:
            self._wake.set()

    async def read_stream(self, tenant: TenantId, stream: StreamId, from_offset: int, max_bytes: int) -> list[Frame]:
        """Records of a stream from the one that holds `from_offset`: at least one if there is any, then as many as fit.

        DamagedData names file and byte of a frame that the disk has damaged.
        """
        log = self._log(tenant)
        frames = await self._read(log, lambda: read_stream(log, stream, from_offset, max_bytes))
        self._keep_warm(log)
        return frames

    async def read_log(self, tenant: TenantId, from_position: int, max_bytes: int) -> list[Frame]:
        """Records of all the tenant's streams in commit order, from the one that holds `from_position` or the next."""
        log = self._log(tenant)
        frames = await self._read(log, lambda: read_log(log, from_position, max_bytes))
        self._keep_warm(log)
        return frames

    def prune(self, effect: PruneSegments) -> None:
        """An op has pruned these segments: the next checkpoint names their stubs. No IO, no suspension."""
        log = self._log(effect.tenant)
        self._pruned.setdefault(effect.tenant, []).extend(effect.segments)
        self._logs[effect.tenant] = self._dirty[effect.tenant] = log

    async def plan_prune(self, tenant: TenantId, segment: int, may_go: Callable[[Frame], bool]) -> PrunedSegment | None:
        """What an op says that prunes a segment that `durable_segments` names; None where a record of it must stay."""
        log = self._log(tenant)

        async def plan() -> PrunedSegment | None:
            closed = log.find_closed(segment)
            assert closed is not None
            return None if closed.pruned else await plan_stub(log, closed, may_go)

        return await self._read(log, plan)

    def durable_segments(self, tenant: TenantId) -> list[int]:
        """Numbers of the whole segments that are closed, in the durable checkpoint."""
        log = self._look(tenant)
        durable = Cursor.decode(self._cursors[tenant]).segment if tenant in self._cursors else 0
        return [one.segment for one in log.closed if one.segment < durable and not one.pruned]

    @property
    def removing(self) -> bool:
        """Whether anything is left of segments that stubs have taken the place of."""
        return self._removals.busy

    def expected_stub(self, tenant: int, segment: int) -> Stretch | None:
        """What the stub must be that the checkpoint under way will name."""
        plan = self._checkpoint
        for one in plan.pruned.get(tenant, []) if plan is not None else []:
            if one.segment == segment:
                path = self._look(tenant).path(segment, pruned=True)
                return Stretch(segment, path, one.stub_length, one.stub_crc, True)
        return None

    async def place_of(self, tenant: TenantId, position: int) -> str:
        """Where the record at this position is stored: its file and its first byte there, for people."""
        return await place_of(self._log(tenant), position)

    def set_repair(self, repair: Repair) -> None:
        """From now on damage is mended from other replicas before a read fails because of it."""
        self._shared.repair = repair

    async def _read(self, log: TenantLog, read: Callable[[], Awaitable[T]]) -> T:
        """Try again as long as repair mends another file, a read crosses several segments, and where a stub has taken a
        segment's place meanwhile."""
        mended: dict[str, None] = {}
        while True:
            prunings = log.prunings
            try:
                found = await read()
                if log.prunings == prunings:
                    return found
                mark("event_log.pruned_under_a_reader")
            except DamagedData as error:
                if log.prunings != prunings:
                    mark("event_log.removed_under_a_reader")
                    continue
                repair = self._shared.repair
                if repair is None or not error.path or error.path in mended or not await repair(error.path):
                    raise _as_it_came(error) from error
                mark("event_log.mended_for_a_reader")
                mended[error.path] = None

    def begin_checkpoint(self) -> LogCheckpoint:
        """Fix what the checkpoint covers: all that was appended so far. No suspension. One checkpoint at a time."""
        assert self._checkpoint is None, "a checkpoint is under way"
        plan = LogCheckpoint(
            {tenant: (log, log.records) for tenant, log in sorted(self._dirty.items())},
            {StorageTable.EVENT_LOGS: {}, StorageTable.SEGMENTS: {}},
            self._pruned,
        )
        self._dirty, self._pruned = {}, {}
        self._checkpoint = plan
        return plan

    async def write_checkpoint(self, plan: LogCheckpoint) -> Rows:
        """Make durable what `plan` covers; returns the changed rows of the tables of `StorageTable`.

        DiskFull: nothing is lost, call it again with the same plan. DiskFailed is final.
        """
        assert plan is self._checkpoint
        async with self._writer:
            await self._write_all(iter(list(plan.waiting.values())), plan)
            self._checkpoint = None
        return plan.rows

    def checkpoint_durable(self, rows: Rows) -> None:
        """The superblock names the checkpoint that `write_checkpoint` gave these rows for."""
        for key, row in rows[StorageTable.EVENT_LOGS].items():
            assert row is not None
            self._cursors[int.from_bytes(key, "big")] = row
        for key, row in rows[StorageTable.SEGMENTS].items():
            assert row is not None
            tenant, number = decode_segment_key(key)
            closed = ClosedSegment.decode(number, row)
            if closed.pruned:
                self._log(tenant).replace_closed(closed)
                self._remove(tenant, [closed])

    def _remove(self, tenant: int, segments: Sequence[ClosedSegment]) -> None:
        """Let the files go whose place stubs have taken."""
        log = self._look(tenant)
        for closed in segments:
            if closed.pruned:
                self._removals.add(log.directory, closed.segment)

    def durable_tenants(self) -> list[int]:
        """The tenants that the durable checkpoint knows, sorted."""
        return sorted(self._cursors)

    def durable_stretches(self, tenant: int) -> list[Stretch]:
        """What the durable checkpoint says of the tenant: the same on every replica that stands at it."""
        row = self._cursors.get(tenant)
        if row is None:
            return []
        log, cursor = self._look(tenant), Cursor.decode(row)
        return log.stretches_at(cursor)

    def stretches(self, tenant: int) -> list[Stretch]:
        """What the tenant has on disk now. For the scrubber; keeps nothing of the tenant in memory."""
        return self._look(tenant).stretches()

    async def find_damage(self, tenant: int, stretch: Stretch) -> int:
        """The byte offset of a stretch's first damaged frame; 0 when the frames are sound."""
        return await self._look(tenant).find_damage(stretch)

    def is_current(self, tenant: int, stretch: Stretch) -> bool:
        """Whether its file is still the segment's: no stub has taken its place."""
        found = self._look(tenant).find_closed(stretch.segment)
        return found is None or found.pruned == stretch.pruned

    async def mend_index(self, tenant: int, stretch: Stretch) -> str:
        """Make the index file of a sound segment again, if it is damaged; its path, or nothing if it needn't be."""
        log = self._look(tenant)
        if stretch.segment >= log.cursor.segment or not await log.mend_index(stretch.segment):
            return ""
        return log.index_path(stretch.segment, pruned=stretch.pruned)

    async def read_raw(self, stretch: Stretch, start: int, size: int) -> bytes:
        """Bytes of a segment's file, unchecked."""
        async with self._shared.files.use(stretch.path) as file:
            return await file.read_at(start, size)

    async def run(self) -> None:
        """Write waiting records early when they outgrow TAIL_BYTES_MAX, and remove what was pruned. Runs until
        cancelled; DiskFailed ends it.

        While the disk is full the records stay in memory; the next append or checkpoint tries again.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._removals.run)
            await self._run()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            try:
                await self.flush()
            except DiskFull:
                mark("event_log.disk_full")
                await trio.sleep(DISK_FULL_RETRY_SECONDS)

    async def flush(self) -> None:
        """Write what waits in memory to the segments, unsynced. During a checkpoint, which does it too, do nothing."""
        async with self._writer:
            if self._checkpoint is not None:
                return
            mark("event_log.early_write")
            waiting = [(log, log.records) for _tenant, log in sorted(self._dirty.items()) if log.tail]
            await self._write_all(iter(waiting), None)

    async def close(self) -> None:
        await self._shared.files.close()

    def _log(self, tenant: int) -> TenantLog:
        """The tenant's log; kept from here on if it has records."""
        log = self._look(tenant)
        if tenant in self._cursors:
            self._logs[tenant] = log
        return log

    def _look(self, tenant: int) -> TenantLog:
        log = self._logs.get(tenant)
        if log is not None:
            return log
        row = self._cursors.get(tenant)
        cursor = Cursor.decode(row) if row is not None else Cursor()
        return TenantLog(tenant=tenant, shared=self._shared, cursor=cursor, closed=self._closed.get(tenant, []))

    async def _write_all(self, work: Iterator[tuple[TenantLog, int]], plan: LogCheckpoint | None) -> None:
        """Let a few tasks share the work. The first error ends all of them and is raised as it is."""
        errors: list[VerityError] = []

        async def worker() -> None:
            for log, upto in work:
                try:
                    await self._write_one(log, upto, plan)
                except VerityError as error:
                    errors.append(error)
                    nursery.cancel_scope.cancel()
                    return

        async with trio.open_nursery() as nursery:
            for _worker in range(WRITERS):
                nursery.start_soon(worker)
        if errors:
            raise errors[0]

    async def _write_one(self, log: TenantLog, upto: int, plan: LogCheckpoint | None) -> None:
        await self._write(log, upto)
        self._keep_warm(log)
        if plan is None:
            return
        await log.sync()
        plan.rows[StorageTable.EVENT_LOGS][tenant_key(log.tenant)] = log.cursor.encode()
        for closed in log.newly_closed:
            plan.rows[StorageTable.SEGMENTS][segment_key(log.tenant, closed.segment)] = closed.encode()
        log.newly_closed = []
        for pruned in plan.pruned.get(log.tenant, []):
            stub = await make_stub(log, pruned)
            plan.rows[StorageTable.SEGMENTS][segment_key(log.tenant, pruned.segment)] = stub.encode()
        del plan.waiting[log.tenant]

    async def _write(self, log: TenantLog, upto: int) -> None:
        """A damaged open segment is mended before it grows; nothing was changed yet when that is seen."""
        for attempt in range(REPAIRS_MAX + 1):
            try:
                await log.write(upto)
                return
            except DamagedData as error:
                repair = self._shared.repair
                if repair is None or not error.path or attempt == REPAIRS_MAX:
                    raise _as_it_came(error) from error
                mark("event_log.mended_for_a_writer")
                if not await repair(error.path):
                    await trio.sleep(REPAIR_RETRY_SECONDS)

    def _keep_warm(self, log: TenantLog) -> None:
        """Note that this tenant's index was used; drop the index of the one not used for longest."""
        self._warm[log.tenant] = log
        self._warm.move_to_end(log.tenant)
        while len(self._warm) > WARM_TENANTS_MAX:
            _tenant, oldest = self._warm.popitem(last=False)
            oldest.forget_index()


def _as_it_came(error: DamagedData) -> DamagedData | DiskFailed:
    """What nobody could mend: an error of the disk stays one, and may be gone after the next start."""
    cause = error.__cause__
    return cause if isinstance(cause, DiskFailed) else error
