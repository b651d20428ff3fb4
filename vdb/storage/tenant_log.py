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

import struct
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from zlib import crc32

import attrs
import trio
from attrs import field, frozen

from vdb.errors import DamagedData, DiskFailed, DiskFull, FileMissing, ForeignData, NewerFormat
from vdb.kernel.effect import AppendRecord
from vdb.marks import mark
from vdb.ports import Disk, File
from vdb.storage import segment, segment_index
from vdb.storage.open_files import OpenFiles
from vdb.storage.repair import Repair
from vdb.storage.segment_index import ClosedIndex, FrameIndex

WRITE_SIZE = 512 * 1024
"""Bytes of frames that are encoded and written in one step."""
SCAN_SIZE = 512 * 1024
INDEX_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of the index files of closed segments that are kept in memory."""

_CURSOR = struct.Struct(">IQIQQQ")
_CLOSED = struct.Struct(">QQQIQ")
_TENANT_KEY = struct.Struct(">Q")
_SEGMENT_KEY = struct.Struct(">QI")


@frozen(kw_only=True)
class Cursor:
    """A row of EVENT_LOGS: the open segment and how far it goes. `length` 0: its file doesn't exist yet."""

    segment: int = 1
    length: int = 0
    crc: int = 0
    """CRC-32 of the open segment's first `length` bytes."""
    first_position: int = 0
    """Of the open segment's first record; 0 while it has none."""
    next_position: int = 0
    """One above the last event's position."""
    records: int = 0
    """Records of the tenant in all segments."""

    def encode(self) -> bytes:
        return _CURSOR.pack(self.segment, self.length, self.crc, self.first_position, self.next_position, self.records)

    @classmethod
    def decode(cls, data: bytes) -> Cursor:
        number, length, crc, first_position, next_position, records = _CURSOR.unpack(data)
        return cls(
            segment=number,
            length=length,
            crc=crc,
            first_position=first_position,
            next_position=next_position,
            records=records,
        )


@frozen(kw_only=True)
class ClosedSegment:
    """A row of SEGMENTS. `records` counts the tenant's records up to this segment's end."""

    segment: int
    first_position: int
    next_position: int
    length: int
    crc: int
    records: int

    def encode(self) -> bytes:
        return _CLOSED.pack(self.first_position, self.next_position, self.length, self.crc, self.records)

    @classmethod
    def decode(cls, number: int, data: bytes) -> ClosedSegment:
        first_position, next_position, length, crc, records = _CLOSED.unpack(data)
        return cls(
            segment=number,
            first_position=first_position,
            next_position=next_position,
            length=length,
            crc=crc,
            records=records,
        )


@frozen
class Stretch:
    """The first `length` bytes of a segment's file, and their CRC-32."""

    segment: int
    path: str
    length: int
    crc: int


def tenant_key(tenant: int) -> bytes:
    return _TENANT_KEY.pack(tenant)


def segment_key(tenant: int, number: int) -> bytes:
    return _SEGMENT_KEY.pack(tenant, number)


def decode_segment_key(key: bytes) -> tuple[int, int]:
    """(tenant, segment)."""
    tenant, number = _SEGMENT_KEY.unpack(key)
    return tenant, number


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

    @property
    def directory(self) -> str:
        return f"{self.shared.directory}/t_{self.tenant}"

    def path(self, number: int) -> str:
        return f"{self.directory}/{segment.file_name(number)}"

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
        self.shared.waiting_bytes += segment.frame_size(effect)
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
        index = await self.scan(cursor.segment, cursor.length)
        if self.cursor is cursor:
            self.index = index
        return index

    async def closed_index(self, closed: ClosedSegment) -> ClosedIndex:
        """The index of a closed segment: from memory, from its file, or made again."""
        key = (self.tenant, closed.segment)
        found = self.shared.cached_index(key)
        if found is None:
            found = self._decode_index(await self._read_index(closed.segment), closed)
            if found is None:
                mark("event_log.index_rebuilt")
                found = await self._rebuild_index(closed)
            self.shared.cache_index(key, found)
        return found

    async def scan(self, number: int, length: int) -> FrameIndex:
        """Read a segment from its start, checking each frame. DamagedData names the file and the byte."""
        index = FrameIndex(segment.HEADER_SIZE)
        if length > 0:
            await self._scan_into(index, number, length)
        return index

    async def find_damage(self, number: int, length: int) -> int:
        """The byte offset of the first frame that doesn't fit its checksum; 0 when all frames do."""
        index = FrameIndex(segment.HEADER_SIZE)
        try:
            await self._scan_into(index, number, length)
        except (DamagedData, ForeignData, NewerFormat):
            return index.end
        return 0

    def stretches(self) -> list[Stretch]:
        """What the log has on disk now, in order; its bytes never change."""
        return self.stretches_at(self.cursor)

    def stretches_at(self, cursor: Cursor) -> list[Stretch]:
        """What the log had on disk when this was its cursor."""
        closed = self.closed[: bisect_left(self.closed, cursor.segment, key=lambda entry: entry.segment)]
        found = [Stretch(entry.segment, self.path(entry.segment), entry.length, entry.crc) for entry in closed]
        if cursor.length:
            found.append(Stretch(cursor.segment, self.path(cursor.segment), cursor.length, cursor.crc))
        return found

    async def _scan_into(self, index: FrameIndex, number: int, length: int) -> None:
        path = self.path(number)
        async with self._use(number) as file:
            await self._check_header(file, number)
            size = SCAN_SIZE
            while index.end < length:
                start = index.end
                data = await self._read(file, path, start, min(size, length - start))
                for _at, frame in segment.decode_frames(path, data, start, self.tenant):
                    frame_size = segment.FRAME_OVERHEAD + len(frame.record)
                    index.add(position=frame.position, stream=frame.stream, offset=frame.offset, size=frame_size)
                if index.end == start and len(data) < size:
                    raise segment.damaged_frame(path, start)
                size = SCAN_SIZE if index.end > start else 2 * size
                await trio.lowlevel.checkpoint()

    async def read_range(self, number: int, start: int, size: int) -> bytes:
        """Bytes of a segment; FileMissing becomes DamagedData, because the checkpoint names the file."""
        async with self._use(number) as file:
            return await self._read(file, self.path(number), start, size)

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
        entry = self.closed[bisect_left(self.closed, number, key=lambda closed: closed.segment)]
        assert entry.segment == number
        data = await self._read_index(number)
        if not data or self._decode_index(data, entry) is not None:
            return False
        mark("event_log.index_mended")
        await self._rebuild_index(entry)
        return True

    def index_path(self, number: int) -> str:
        return f"{self.directory}/{segment_index.file_name(number)}"

    def forget_index(self) -> None:
        """Drop what a scan can make again."""
        self.index = None

    @asynccontextmanager
    async def _use(self, number: int) -> AsyncIterator[File]:
        """A segment's file; its absence is damage, because the checkpoint names it."""
        path = self.path(number)
        try:
            async with self.shared.files.use(path) as file:
                yield file
        except FileMissing as error:
            raise DamagedData(f"{path}: a segment that the checkpoint names is missing", path=path) from error

    def _header(self) -> bytes:
        return segment.encode_header(segment=self.cursor.segment, tenant=self.tenant, group_hash=self.shared.group_hash)

    async def _check_header(self, file: File, number: int) -> None:
        """A file that isn't this segment is damage, if another replica can mend it."""
        path = self.path(number)
        try:
            segment.check_header(
                path,
                await self._read(file, path, 0, segment.HEADER_SIZE),
                segment=number,
                tenant=self.tenant,
                group_hash=self.shared.group_hash,
            )
        except (ForeignData, NewerFormat) as error:
            if self.shared.repair is None:
                raise
            raise DamagedData(str(error), path=path) from error

    async def _cut_once(self) -> None:
        """Before the first write to a segment: cut what a crash left behind the cursor, or make the file."""
        if self.cut_done:
            return
        path = self.path(self.cursor.segment)
        if self.cursor.length == 0:
            await self.shared.disk.make_directory(self.directory)
            self.names_unsynced = True
        used = self._use(self.cursor.segment) if self.cursor.length else self.shared.files.use(path, create=True)
        async with used as file:
            size = await file.size()
            if size < self.cursor.length:
                raise DamagedData(f"{path}: expected at least {self.cursor.length} bytes, found {size}", path=path)
            if self.cursor.length:
                await self._check_header(file, self.cursor.segment)
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
        path = self.index_path(closed.segment)
        with suppress(DiskFull):
            async with self.shared.files.use(path, create=True) as file:
                await file.truncate(0)
                await file.write_at(0, data)
        return data

    async def _read_index(self, number: int) -> bytes:
        path = self.index_path(number)
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
        data = await self._write_index(await self.scan(closed.segment, closed.length), closed)
        found = self._decode_index(data, closed)
        assert found is not None
        return found
