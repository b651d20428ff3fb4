"""What other replicas may copy of a group: files of durable checkpoints, and segments as far as one covers them.

Paths are relative to the group's directory, and no others are read: `checkpoints/<name>` of the durable checkpoint or
of one that is pinned, `log/t_<tenant>/<segment>.seg`, or `.stub` of one that was pruned, up to its length in the
durable checkpoint. Both are a function of the committed ops, so a chunk is the same from whichever replica it comes.
"""

from __future__ import annotations

import re

from vdb.errors import DiskFailed, FileMissing
from vdb.marks import mark
from vdb.ports import Disk
from vdb.storage import segment
from vdb.storage.checkpoint import CheckpointStore, NamedFile
from vdb.storage.event_log import EventLog
from vdb.vsr.message import FileEntry

CHECKPOINTS = "checkpoints"
_SEGMENT = re.compile(r"log/t_(0|[1-9][0-9]{0,19})/([0-9]{6,10})\.(seg|stub)")
_CHECKPOINT_FILE = re.compile(rf"{CHECKPOINTS}/((?:checkpoint|state|keys)-[0-9a-f]{{16}})")


def segment_path(tenant: int, number: int, *, pruned: bool = False) -> str:
    return f"log/t_{tenant}/{segment.file_name(number, pruned=pruned)}"


def checkpoint_file_name(path: str) -> str | None:
    """The name of a checkpoint's file in this path; None for any other path."""
    found = _CHECKPOINT_FILE.fullmatch(path)
    return found[1] if found is not None else None


def parse_segment(path: str) -> tuple[int, int, bool] | None:
    """(tenant, segment, whether it is a stub) of a segment's path; None for any other path."""
    found = _SEGMENT.fullmatch(path)
    place = (int(found[1]), int(found[2]), found[3] == "stub") if found is not None else None
    return place if place is not None and path == segment_path(*place[:2], pruned=place[2]) else None


class SyncSource:
    """One for each time that a group is opened."""

    def __init__(self, *, disk: Disk, directory: str, checkpoints: CheckpointStore, event_log: EventLog) -> None:
        self._disk = disk
        self._directory = directory
        self._checkpoints = checkpoints
        self._event_log = event_log

    def files(self) -> tuple[FileEntry, ...]:
        """Of the durable checkpoint; the segments follow from its rows."""
        return tuple(_entry(named) for named in self._checkpoints.durable)

    async def read(self, path: str, offset: int, size: int) -> bytes:
        """These bytes; fewer, or none, where the file isn't here or the disk can't read it."""
        length = self._length(path)
        size = min(size, length - offset)
        if offset < 0 or size <= 0:
            return b""
        try:
            file = await self._disk.open(f"{self._directory}/{path}")
            try:
                return await file.read_at(offset, size)
            finally:
                await file.close()
        except (DiskFailed, FileMissing):
            mark("sync_source.unreadable")
            return b""

    def _length(self, path: str) -> int:
        """How many bytes of this file others may have."""
        name = checkpoint_file_name(path)
        for files in (self._checkpoints.durable, *self._checkpoints.pinned.values()):
            for named in files:
                if named.name == name:
                    return named.size
        place = parse_segment(path)
        if place is None:
            return 0
        tenant, number, pruned = place
        for stretch in self._event_log.durable_stretches(tenant):
            if (stretch.segment, stretch.pruned) == (number, pruned):
                return stretch.length
        return 0


def _entry(named: NamedFile) -> FileEntry:
    return FileEntry(path=f"{CHECKPOINTS}/{named.name}", size=named.size, checksum=named.digest)
