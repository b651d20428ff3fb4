"""Puts stubs (`vdb.storage.stub`) in the place of segments that an op has pruned.

    op applied -> next checkpoint: stub written, synced, named by the checkpoint -> checkpoint durable ->
    readers go to the stub -> the segment is overwritten, and removed with its index

Rules
- Until the checkpoint is durable that names the stub, the segment is there: a crash before it leaves both, and the op
  is executed again. After it only the stub is asked for, and what a crash has left of the segment is removed at the
  next start: every pruned segment's name is looked for.
- A stub is what the op says, by length and checksum. A segment that the disk has damaged can't be made one of: its
  stub, or the segment itself, comes from another replica, however long that takes. Where there is no other replica, the
  error says which file a sound copy is needed of: only from all its records does the stub follow that the op names.
- One task removes. Who must know that nothing is left asks `busy`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio

from vdb.errors import DamagedData
from vdb.kernel.erasure_command import PrunedSegment
from vdb.marks import mark
from vdb.ports import Disk
from vdb.storage import segment, segment_index
from vdb.storage.log_rows import ClosedSegment
from vdb.storage.open_files import OpenFiles
from vdb.storage.overwriting import remove_traceless
from vdb.storage.repair import REPAIR_RETRY_SECONDS
from vdb.storage.segment import Frame
from vdb.storage.stub import StubMaker
from vdb.storage.tenant_log import TenantLog


async def plan_stub(log: TenantLog, closed: ClosedSegment, may_go: Callable[[Frame], bool]) -> PrunedSegment | None:
    """What the op says that prunes this segment; None where one of its records must stay. DamagedData."""
    assert not closed.pruned
    maker = StubMaker(segment=closed.segment, tenant=log.tenant, group_hash=log.shared.group_hash)
    stays = False

    def look(frame: Frame) -> None:
        nonlocal stays
        stays = stays or not may_go(frame)
        if not stays:
            maker.add(frame)

    at, stretch = 0, log.stretch_of(closed)
    while at < stretch.length and not stays:
        at = await log.visit_frames(stretch, at, look)
        maker.take()
    if stays:
        return None
    return PrunedSegment(
        segment=closed.segment,
        first_position=closed.first_position,
        next_position=closed.next_position,
        length=closed.length,
        stub_length=maker.length,
        stub_crc=maker.crc,
    )


async def make_stub(log: TenantLog, wanted: PrunedSegment) -> ClosedSegment:
    """The stub of a segment, durable; what the checkpoint says of the segment then. DiskFull: call it again.

    Where nobody else has the segment: DamagedData, or DiskFailed where the disk can't read it.
    """
    closed = log.find_closed(wanted.segment)
    assert closed is not None, f"segment {wanted.segment} of tenant {log.tenant} is pruned, and isn't closed"
    assert (closed.first_position, closed.next_position) == (wanted.first_position, wanted.next_position)
    found = ClosedSegment(
        segment=closed.segment,
        first_position=closed.first_position,
        next_position=closed.next_position,
        length=wanted.stub_length,
        crc=wanted.stub_crc,
        records=closed.records,
        pruned=True,
    )
    path = log.path(wanted.segment, pruned=True)
    while True:
        try:
            await _write(log, closed, wanted, path)
            return found
        except DamagedData as error:
            repair = log.shared.repair
            if repair is None:
                raise _unmended(error, log.path(wanted.segment)) from error
            mark("pruning.segment_damaged")
            if await repair(path):
                mark("pruning.stub_fetched")
                return found
            if not await repair(error.path or log.path(wanted.segment)):
                mark("pruning.waits_for_repair")
            # After a repair as well: a segment that is sound and yet isn't the one that was pruned stays as it is.
            await trio.sleep(REPAIR_RETRY_SECONDS)


def _unmended(error: DamagedData, path: str) -> DamagedData:
    return DamagedData(
        f"{error}; the segment is pruned and its stub can't be made of what is left: put a sound copy of {path} there",
        path=path,
    )


async def _write(log: TenantLog, closed: ClosedSegment, wanted: PrunedSegment, path: str) -> None:
    maker = StubMaker(segment=closed.segment, tenant=log.tenant, group_hash=log.shared.group_hash)
    stretch = log.stretch_of(closed)
    async with log.shared.files.use(path, create=True) as file:
        await file.truncate(0)
        at, written = 0, 0
        while at < stretch.length:
            at = await log.visit_frames(stretch, at, maker.add)
            data = maker.take()
            await file.write_at(written, data)
            written += len(data)
        if (maker.length, maker.crc) != (wanted.stub_length, wanted.stub_crc):
            raise DamagedData(f"{stretch.path}: isn't the segment that was pruned", path=stretch.path)
        await file.sync()
    await log.shared.disk.sync_directory(log.directory)


class Removals:
    """The segments whose stubs have taken their place, until they are gone."""

    def __init__(self, disk: Disk, files: OpenFiles) -> None:
        self._disk = disk
        self._files = files
        self._waiting: deque[tuple[str, int]] = deque()
        self._wake = trio.Event()

    @property
    def busy(self) -> bool:
        """Whether anything is left of a segment that the durable checkpoint doesn't name any more."""
        return bool(self._waiting)

    def add(self, directory: str, number: int) -> None:
        """This segment of a tenant's directory is to go."""
        self._waiting.append((directory, number))
        self._wake.set()

    async def run(self) -> None:
        """Remove one after the other. Runs until cancelled; DiskFailed ends it."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._waiting:
                await self._remove(*self._waiting[0])
                self._waiting.popleft()

    async def _remove(self, directory: str, number: int) -> None:
        removed = False
        for name, secret in ((segment.file_name(number), True), (segment_index.file_name(number), False)):
            path = f"{directory}/{name}"
            await self._files.forget(path)
            if await self._disk.exists(path):
                mark("pruning.removed")
                await remove_traceless(self._disk, path, overwrite=secret)
                removed = True
        if removed:
            await self._disk.sync_directory(directory)
