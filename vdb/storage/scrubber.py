"""The scrubber: reads everything at rest within a period, so that rot is found before the last good copy is gone.

One pass looks at the copies of the superblock, the WAL slots that are still needed (both rings), the files of the
newest checkpoint and every segment, in steps of at most STEP_SIZE bytes, and sleeps between them so that a pass fills
the period. What one node can repair is repaired: a copy of the superblock, a redundant header, the index of a segment.
A file that others have is mended from them, if `repair` is given, and a prepare is asked for again by the replica
(`on_prepare_damaged`). All faults are reported as a `ScrubFault`; reads of damaged data are refused anyway, because
each of them checks its own bytes. What the disk can't read is a fault like another and ends nothing; a repair that the
disk fails to write does.

Files change while a pass goes on. A step judges only bytes that can't change any more: a segment below the
cursor it was asked for with, unless it was pruned meanwhile, a file of a checkpoint that is still named afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from zlib import crc32

import trio
from attrs import frozen

from vdb.errors import DamagedData, DiskFull, StorageError
from vdb.limits import SECTOR_SIZE, SUPERBLOCK_COPIES
from vdb.marks import mark
from vdb.ports import Disk
from vdb.rare import rare
from vdb.storage.checkpoint import CheckpointStore
from vdb.storage.event_log import EventLog
from vdb.storage.log_rows import Stretch
from vdb.storage.repair import Repair
from vdb.storage.superblock import Superblock
from vdb.storage.superblock_layout import COPY_SIZE
from vdb.storage.wal import Journal
from vdb.vsr.header import PrepareHeader

STEP_SIZE = 256 * 1024
DEFAULT_PERIOD_SECONDS = 24 * 3600.0


@frozen(kw_only=True)
class ScrubFault:
    """Something at rest that isn't as it was written. `offset` is a byte of the file at `path`."""

    kind: str
    """superblock, wal, checkpoint, segment or index."""
    path: str
    offset: int
    message: str
    repaired: bool = False


class Scrubber:
    """One per group. `run` as a task; `passes` counts the complete ones, `faults` those of the last complete one."""

    def __init__(
        self,
        *,
        disk: Disk,
        superblock: Superblock,
        journal: Journal,
        checkpoints: CheckpointStore,
        event_log: EventLog,
        period_seconds: float = DEFAULT_PERIOD_SECONDS,
        on_fault: Callable[[ScrubFault], None] = lambda _fault: None,
        on_pass: Callable[[], None] = lambda: None,
        repair: Repair | None = None,
        on_prepare_damaged: Callable[[PrepareHeader], None] = lambda _header: None,
    ) -> None:
        self._disk = disk
        self._superblock = superblock
        self._journal = journal
        self._checkpoints = checkpoints
        self._event_log = event_log
        self._period_seconds = period_seconds
        self._on_fault = on_fault
        self._on_pass = on_pass
        self._repair = repair
        self._on_prepare_damaged = on_prepare_damaged
        self._seconds_per_byte = 0.0
        self._found: list[ScrubFault] = []
        self.passes = 0
        self.faults: tuple[ScrubFault, ...] = ()

    async def run(self) -> None:
        """Pass after pass, each spread over the period. Runs until cancelled.

        DiskFailed of the superblock's repair ends it. A redundant header is repaired by the journal's writer, which
        such an error ends instead.
        """
        while True:
            begun = trio.current_time()
            self._seconds_per_byte = self._period_seconds / max(self._bytes_at_rest(), 1)
            await self._pass()
            if not rare("scrubber.again"):
                await trio.sleep_until(begun + self._period_seconds)

    async def scrub_once(self) -> tuple[ScrubFault, ...]:
        """One pass without pauses; what it found."""
        self._seconds_per_byte = 0.0
        await self._pass()
        return self.faults

    async def _pass(self) -> None:
        self._found = []
        for copy in range(SUPERBLOCK_COPIES):
            await self._scrub_superblock(copy)
        for slot in range(self._journal.slots):
            await self._guard("wal", self._journal.path, self._scrub_slot, slot)
        for path, size, digest in self._checkpoints.files():
            await self._guard("checkpoint", path, self._scrub_checkpoint_file, path, size, digest)
        for tenant in self._event_log.tenants():
            for stretch in self._event_log.stretches(tenant):
                await self._guard("segment", stretch.path, self._scrub_segment, tenant, stretch)
        self.faults = tuple(self._found)
        self.passes += 1
        self._on_pass()

    def _bytes_at_rest(self) -> int:
        total = SUPERBLOCK_COPIES * COPY_SIZE + self._journal.slots * SECTOR_SIZE
        total += sum(max(size, SECTOR_SIZE) for _path, size, _digest in self._checkpoints.files())
        for tenant in self._event_log.tenants():
            total += sum(stretch.length for stretch in self._event_log.stretches(tenant))
        return total

    async def _rest(self, size: int) -> None:
        """Pause for the share of the period that these bytes deserve; at least let others run."""
        await trio.sleep(size * self._seconds_per_byte)

    def _report(self, kind: str, path: str, offset: int, message: str, *, repaired: bool = False) -> None:
        mark("scrubber.fault")
        fault = ScrubFault(kind=kind, path=path, offset=offset, message=message, repaired=repaired)
        self._found.append(fault)
        self._on_fault(fault)

    async def _guard(self, kind: str, path: str, step: Callable[..., object], *arguments: object) -> None:
        """Run a step; what the disk can't read is a fault like another."""
        try:
            await step(*arguments)  # type: ignore[misc]
        except (StorageError, DamagedData) as error:
            await self._mend(kind, path, 0, f"{path}: can't be read: {error}")

    async def _mend(self, kind: str, path: str, offset: int, message: str) -> None:
        """Report a fault in a file that others have as well, after asking them."""
        repaired = self._repair is not None and await self._repair(path)
        self._report(kind, path, offset, message + (", and is repaired" if repaired else ""), repaired=repaired)

    async def _scrub_superblock(self, copy: int) -> None:
        path, offset = self._superblock.path, copy * COPY_SIZE
        try:
            if not await self._superblock.scrub_step(copy):
                message = f"{path}: copy {copy} was damaged or unreadable, and is repaired"
                self._report("superblock", path, offset, message, repaired=True)
        except DiskFull:
            message = f"{path}: copy {copy} is damaged or unreadable; the disk is too full to repair it"
            self._report("superblock", path, offset, message)
        await self._rest(COPY_SIZE)

    async def _scrub_slot(self, slot: int) -> None:
        fault = await self._journal.scrub_slot(slot)
        if fault is not None:
            path = self._journal.path
            self._report("wal", path, fault.offset, f"{path}: {fault.message}", repaired=fault.repaired)
            if fault.lost is not None:
                self._on_prepare_damaged(fault.lost)
        await self._rest(SECTOR_SIZE)

    async def _scrub_checkpoint_file(self, path: str, size: int, digest: bytes) -> None:
        found = sha256()
        try:
            file = await self._disk.open(path)
            try:
                length = await file.size()
                for at in range(0, length, STEP_SIZE):
                    size_read = min(STEP_SIZE, length - at)
                    found.update(await file.read_at(at, size_read))
                    await self._rest(size_read)
            finally:
                await file.close()
        except StorageError:
            if self._still_named(path):
                raise
            return
        if self._still_named(path) and (found.digest() != digest or size not in (-1, length)):
            await self._mend("checkpoint", path, 0, f"{path}: the file of the checkpoint isn't as it was written")

    def _still_named(self, path: str) -> bool:
        return any(path == named for named, _size, _digest in self._checkpoints.files())

    async def _scrub_segment(self, tenant: int, stretch: Stretch) -> None:
        crc = 0
        try:
            for at in range(0, stretch.length, STEP_SIZE):
                size = min(STEP_SIZE, stretch.length - at)
                crc = crc32(await self._event_log.read_raw(stretch, at, size), crc)
                await self._rest(size)
        except StorageError:
            if self._event_log.is_current(tenant, stretch):
                raise
        if not self._event_log.is_current(tenant, stretch):
            mark("scrubber.pruned_meanwhile")
            return
        if crc != stretch.crc:
            offset = await self._event_log.find_damage(tenant, stretch)
            message = f"{stretch.path}: byte {offset}: the segment is damaged"
            await self._mend("segment", stretch.path, offset, message)
            return
        index = await self._event_log.mend_index(tenant, stretch)
        if index:
            message = f"{index}: the index was damaged, and is made again"
            self._report("index", index, 0, message, repaired=True)
