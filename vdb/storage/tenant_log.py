"""One tenant's event log in one group: closed segments, the open segment, and a tail in memory.

Rules
- `append` puts a record on the tail. `write` moves records from the tail's start to the open segment, closing segments
  by the rule of `segment`; it is run by one task at a time (`event_log` sees to it).
- What is on disk up to `cursor.length` never changes. So a reader takes the tail, the cursor and the list of closed
  segments at one moment and may read the files at leisure, while appends and writes go on.
- The cursor that was loaded from a checkpoint isn't trusted to be the end of the file: before the first write the
  file is cut to it (a crash may have left bytes of ops that the WAL will replay).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from zlib import crc32

import attrs
import trio
from attrs import field

from vdb.errors import DamagedData, DiskFailed, DiskFull, FileMissing, ForeignData, NewerFormat
from vdb.kernel.effect import AppendRecord
from vdb.marks import mark
from vdb.ports import Disk, File
from vdb.storage import segment, segment_index
from vdb.storage.log_rows import ClosedSegment, Cursor, Stretch
from vdb.storage.open_files import OpenFiles
from vdb.storage.repair import Repair
from vdb.storage.segment import Frame
from vdb.storage.segment_index import ClosedIndex, FrameIndex

WRITE_SIZE = 512 * 1024
"""Bytes of frames that are encoded and written in one step."""
SCAN_SIZE = 512 * 1024
INDEX_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of the index files of closed segments that are kept in memory."""


class LogFiles:
    """What all tenants of a group share: the disk, the open files and the indexes of closed segments."""

    def __init__(self, disk: Disk, directory: str, group_hash: bytes, segment_size: int, open_files_max: int) -> None:
        self.disk = disk
        self.directory = directory
        self.group_hash = group_hash
        self.segment_size = segment_size
        self.files = OpenFiles(disk, open_files_max)
        self.repair: Repair | None = None
        self.waiting_bytes = 0
        """Bytes of frames on the tails of all tenants."""
        self._indexes: OrderedDict[tuple[int, int], ClosedIndex] = OrderedDict()
        self._index_bytes = 0

    def cached_index(self, key: tuple[int, int]) -> ClosedIndex | None:
        found = self._indexes.get(key)
        if found is not None:
            self._indexes.move_to_end(key)
        return found

    def cache_index(self, key: tuple[int, int], index: ClosedIndex) -> None:
        if key in self._indexes:
            return
        self._indexes[key] = index
        self._index_bytes += index.size
        while self._index_bytes > INDEX_BYTES_MAX and len(self._indexes) > 1:
            _key, oldest = self._indexes.popitem(last=False)
            self._index_bytes -= oldest.size

    def forget_index(self, key: tuple[int, int]) -> None:
        """It is of a file that is no more."""
        dropped = self._indexes.pop(key, None)
        if dropped is not None:
            self._index_bytes -= dropped.size


@attrs.define(kw_only=True, eq=False)
class TenantLog:
    """See the module's docstring. `closed` and `tail` are in order."""

    tenant: int
    shared: LogFiles = field(repr=False)
    cursor: Cursor
    closed: list[ClosedSegment] = field(factory=list, repr=False)
    cut_done: bool = False
    """The open segment's file ends at the cursor."""
    tail: list[AppendRecord] = field(factory=list, repr=False)
    tail_streams: dict[int, list[AppendRecord]] = field(factory=dict, repr=False)
    index: FrameIndex | None = field(default=None, repr=False)
    """Of the open segment up to the cursor; None: not known, a scan makes it."""
    unsynced: list[int] = field(factory=list)
    """Segments written since the last checkpoint."""
    names_unsynced: bool = False
    newly_closed: list[ClosedSegment] = field(factory=list, repr=False)
    prunings: int = 0
    """How often stubs have taken the place of segments: a read during which that happens begins again."""

    @property
    def directory(self) -> str:
        return f"{self.shared.directory}/t_{self.tenant}"

    def path(self, number: int, *, pruned: bool = False) -> str:
        return f"{self.directory}/{segment.file_name(number, pruned=pruned)}"

    @property
    def next_position(self) -> int:
        """One above the position of the last event, the tail included."""
        if self.tail:
            return self.tail[-1].first_position + self.tail[-1].count
        return self.cursor.next_position

    @property
    def records(self) -> int:
        return self.cursor.records + len(self.tail)

    def append(self, effect: AppendRecord) -> None:
        assert effect.first_position >= self.next_position, "records of a tenant come in the order of their positions"
        segment.check_effect(effect)
        self.shared.waiting_bytes += segment.FRAME_OVERHEAD + len(effect.record)
        self.tail.append(effect)
        self.tail_streams.setdefault(effect.stream, []).append(effect)

    async def write(self, upto: int) -> None:
        """Move the tail to disk until `upto` records of the tenant are there. Not synced. DiskFull: call it again."""
        while True:
            if self.cursor.length >= self.shared.segment_size:
                await self._close_segment()
            if self.cursor.records >= upto:
                return
            await self._cut_once()
            batch, frames = self._next_batch(upto)
            start = self.cursor.length
            header = b"" if start else self._header()
            data = header + b"".join(frames)
            number = self.cursor.segment
            async with self.shared.files.use(self.path(number), create=True) as file:
                await file.write_at(start, data)
            if number not in self.unsynced:
                self.unsynced.append(number)
            self._advance(batch, frames, start + len(header), crc32(data, self.cursor.crc))

    async def sync(self) -> None:
        """Make all that `write` wrote durable."""
        for number in list(self.unsynced):
            async with self.shared.files.use(self.path(number)) as file:
                await file.sync()
            self.unsynced.remove(number)
        if self.names_unsynced:
            await self.shared.disk.sync_directory(self.directory)
            self.names_unsynced = False

    async def open_index(self) -> FrameIndex:
        """The index of the open segment up to the cursor of the moment at which this was called."""
        if self.index is not None:
            return self.index
        cursor = self.cursor
        index = await self._scan(self.open_stretch(cursor))
        if self.cursor is cursor:
            self.index = index
        return index

    async def closed_index(self, closed: ClosedSegment) -> ClosedIndex:
        """The index of a closed segment: from memory, from its file, or made again."""
        key = (self.tenant, closed.segment)
        found = self.shared.cached_index(key)
        if found is None:
            found = self._decode_index(await self._read_index(closed), closed)
            if found is None:
                mark("event_log.index_rebuilt")
                found = await self._rebuild_index(closed)
            if self.find_closed(closed.segment) is closed:
                self.shared.cache_index(key, found)
        return found

    async def find_damage(self, stretch: Stretch) -> int:
        """The byte offset of the first frame that doesn't fit its checksum; 0 when all frames do."""
        index = FrameIndex(segment.HEADER_SIZE)
        try:
            await self._scan_into(index, stretch)
        except (DamagedData, ForeignData, NewerFormat):
            return index.end
        return 0

    def find_closed(self, number: int) -> ClosedSegment | None:
        """As it is now."""
        at = bisect_left(self.closed, number, key=lambda closed: closed.segment)
        return self.closed[at] if at < len(self.closed) and self.closed[at].segment == number else None

    def replace_closed(self, closed: ClosedSegment) -> None:
        """A stub has taken the segment's place."""
        at = bisect_left(self.closed, closed.segment, key=lambda entry: entry.segment)
        assert self.closed[at].segment == closed.segment
        self.closed[at] = closed
        self.prunings += 1
        self.shared.forget_index((self.tenant, closed.segment))

    def stretches(self) -> list[Stretch]:
        """What the log has on disk now, in order; its bytes never change."""
        return self.stretches_at(self.cursor)

    def stretches_at(self, cursor: Cursor) -> list[Stretch]:
        """What the log had on disk when this was its cursor."""
        closed = self.closed[: bisect_left(self.closed, cursor.segment, key=lambda entry: entry.segment)]
        found = [self.stretch_of(entry) for entry in closed]
        if cursor.length:
            found.append(self.open_stretch(cursor))
        return found

    def stretch_of(self, closed: ClosedSegment) -> Stretch:
        path = self.path(closed.segment, pruned=closed.pruned)
        return Stretch(closed.segment, path, closed.length, closed.crc, closed.pruned)

    def open_stretch(self, cursor: Cursor) -> Stretch:
        """Of the segment that was open when this was the log's cursor."""
        return Stretch(cursor.segment, self.path(cursor.segment), cursor.length, cursor.crc)

    async def _scan(self, stretch: Stretch) -> FrameIndex:
        """Read a segment from its start, checking each frame. DamagedData names the file and the byte."""
        index = FrameIndex(segment.HEADER_SIZE)
        if stretch.length > 0:
            await self._scan_into(index, stretch)
        return index

    async def _scan_into(self, index: FrameIndex, stretch: Stretch) -> None:
        def add(frame: Frame) -> None:
            size = segment.FRAME_OVERHEAD + len(frame.record)
            index.add(position=frame.position, stream=frame.stream, offset=frame.offset, size=size)

        at = 0
        while at < stretch.length:
            at = await self.visit_frames(stretch, at, add)

    async def visit_frames(self, stretch: Stretch, start: int, visit: Callable[[Frame], object]) -> int:
        """Call for each of the frames from this byte on, as many as one read takes, checked; where the next one begins.

        0 is the start of the file, with its header. DamagedData names file and byte of the first frame that is damaged.
        """
        async with self._use(stretch.path) as file:
            if start == 0:
                await self._check_header(file, stretch)
                start = segment.HEADER_SIZE
            size, end = SCAN_SIZE, start
            while end == start < stretch.length:
                data = await self._read(file, stretch.path, start, min(size, stretch.length - start))
                for at, frame in segment.decode_frames(stretch.path, data, start, self.tenant):
                    visit(frame)
                    end = at + segment.FRAME_OVERHEAD + len(frame.record)
                if end == start and len(data) < size:
                    raise segment.damaged_frame(stretch.path, start)
                size *= 2
        await trio.lowlevel.checkpoint()
        return end

    async def read_range(self, stretch: Stretch, start: int, size: int) -> bytes:
        """Bytes of a segment; FileMissing becomes DamagedData, because the checkpoint names the file."""
        async with self._use(stretch.path) as file:
            return await self._read(file, stretch.path, start, size)

    async def _read(self, file: File, path: str, start: int, size: int) -> bytes:
        """What the disk can't read is damage, if another replica can mend it; else it is DiskFailed."""
        try:
            return await file.read_at(start, size)
        except DiskFailed as error:
            if self.shared.repair is None:
                raise
            mark("event_log.unreadable")
            raise DamagedData(f"{path}: byte {start}: the disk can't read it", path=path) from error

    async def mend_index(self, number: int) -> bool:
        """Make the index file of a closed segment again if it is there and isn't sound; whether it did."""
        entry = self.find_closed(number)
        assert entry is not None
        data = await self._read_index(entry)
        if not data or self._decode_index(data, entry) is not None:
            return False
        mark("event_log.index_mended")
        await self._rebuild_index(entry)
        return True

    def index_path(self, number: int, *, pruned: bool = False) -> str:
        return f"{self.directory}/{segment_index.file_name(number, pruned=pruned)}"

    def forget_index(self) -> None:
        """Drop what a scan can make again."""
        self.index = None

    @asynccontextmanager
    async def _use(self, path: str) -> AsyncIterator[File]:
        """A segment's file; its absence is damage, because the checkpoint names it."""
        try:
            async with self.shared.files.use(path) as file:
                yield file
        except FileMissing as error:
            raise DamagedData(f"{path}: a segment that the checkpoint names is missing", path=path) from error

    def _header(self) -> bytes:
        return segment.encode_header(segment=self.cursor.segment, tenant=self.tenant, group_hash=self.shared.group_hash)

    async def _check_header(self, file: File, stretch: Stretch) -> None:
        """A file that isn't this segment is damage, if another replica can mend it."""
        try:
            segment.check_header(
                stretch.path,
                await self._read(file, stretch.path, 0, segment.HEADER_SIZE),
                segment=stretch.segment,
                tenant=self.tenant,
                group_hash=self.shared.group_hash,
                pruned=stretch.pruned,
            )
        except (ForeignData, NewerFormat) as error:
            if self.shared.repair is None:
                raise
            raise DamagedData(str(error), path=stretch.path) from error

    async def _cut_once(self) -> None:
        """Before the first write to a segment: cut what a crash left behind the cursor, or make the file."""
        if self.cut_done:
            return
        path = self.path(self.cursor.segment)
        if self.cursor.length == 0:
            await self.shared.disk.make_directory(self.directory)
            self.names_unsynced = True
        used = self._use(path) if self.cursor.length else self.shared.files.use(path, create=True)
        async with used as file:
            size = await file.size()
            if size < self.cursor.length:
                raise DamagedData(f"{path}: expected at least {self.cursor.length} bytes, found {size}", path=path)
            if self.cursor.length:
                await self._check_header(file, self.open_stretch(self.cursor))
            if size > self.cursor.length:
                mark("event_log.cut")
                await file.truncate(self.cursor.length)
        self.cut_done = True

    def _next_batch(self, upto: int) -> tuple[list[AppendRecord], list[bytes]]:
        """Records from the tail's start with their frames: one step's worth, none beyond the one that fills up."""
        batch: list[AppendRecord] = []
        frames: list[bytes] = []
        size = 0
        length = self.cursor.length or segment.HEADER_SIZE
        for effect in self.tail[: upto - self.cursor.records]:
            batch.append(effect)
            frames.append(segment.encode_frame(effect))
            size += len(frames[-1])
            if length + size >= self.shared.segment_size or size >= WRITE_SIZE:
                break
        return batch, frames

    def _advance(self, batch: list[AppendRecord], frames: list[bytes], start: int, crc: int) -> None:
        """Take what was written from the tail into cursor and index, in one step."""
        if self.index is None and start == segment.HEADER_SIZE:
            self.index = FrameIndex(start)
        written: dict[int, int] = {}
        for effect, frame in zip(batch, frames, strict=True):
            written[effect.stream] = written.get(effect.stream, 0) + 1
            if self.index is not None:
                self.index.add(
                    position=effect.first_position,
                    stream=effect.stream,
                    offset=effect.first_offset,
                    size=len(frame),
                )
        size = sum(map(len, frames))
        self.shared.waiting_bytes -= size
        del self.tail[: len(batch)]
        for stream, count in written.items():
            waiting = self.tail_streams[stream]
            del waiting[:count]
            if not waiting:
                del self.tail_streams[stream]
        first = batch[0].first_position if start == segment.HEADER_SIZE else self.cursor.first_position
        self.cursor = Cursor(
            segment=self.cursor.segment,
            length=start + size,
            crc=crc,
            first_position=first,
            next_position=batch[-1].first_position + batch[-1].count,
            records=self.cursor.records + len(batch),
        )

    async def _close_segment(self) -> None:
        """Write the index of the full segment, then open the next one."""
        cursor = self.cursor
        closed = ClosedSegment(
            segment=cursor.segment,
            first_position=cursor.first_position,
            next_position=cursor.next_position,
            length=cursor.length,
            crc=cursor.crc,
            records=cursor.records,
        )
        await self._write_index(await self.open_index(), closed)
        self.closed.append(closed)
        self.newly_closed.append(closed)
        self.cursor = Cursor(segment=cursor.segment + 1, next_position=cursor.next_position, records=cursor.records)
        self.index = None
        self.cut_done = False

    async def _write_index(self, index: FrameIndex, closed: ClosedSegment) -> bytes:
        data = await index.encode(segment=closed.segment, tenant=self.tenant, group_hash=self.shared.group_hash)
        path = self.index_path(closed.segment, pruned=closed.pruned)
        with suppress(DiskFull):
            async with self.shared.files.use(path, create=True) as file:
                await file.truncate(0)
                await file.write_at(0, data)
        return data

    async def _read_index(self, closed: ClosedSegment) -> bytes:
        path = self.index_path(closed.segment, pruned=closed.pruned)
        try:
            async with self.shared.files.use(path) as file:
                return await file.read_at(0, await file.size())
        except FileMissing:
            return b""

    def _decode_index(self, data: bytes, closed: ClosedSegment) -> ClosedIndex | None:
        return ClosedIndex.decode(
            data,
            segment=closed.segment,
            tenant=self.tenant,
            group_hash=self.shared.group_hash,
            end=closed.length,
        )

    async def _rebuild_index(self, closed: ClosedSegment) -> ClosedIndex:
        data = await self._write_index(await self._scan(self.stretch_of(closed)), closed)
        found = self._decode_index(data, closed)
        assert found is not None
        return found
