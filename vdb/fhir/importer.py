"""Importing a FHIR R4 bulk export: one stream per resource type, each resource an event.

Rules
- Idempotent and resumable: before the first append to a stream its event ids are read back, and resources that are
  there are skipped. A second import of the same lines appends nothing, also after a kill half way.
- Every append expects the stream's head exactly. If something else appended meanwhile (another import), the ids are
  read again from there on, and what is missing is sent again: two imports at once make no duplicate. A batch that the
  stream has as it is, it answers as appended: then its head is further on than is known here, and the next append says
  so.
- A bad line is reported with file and line number and counted; the rest goes on.
- Resources of one batch are grouped by patient, since a sealed run has one subject; within a patient their order is
  the file's. Reports and errors hold no name, subject or content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from attrs import define, field, frozen

from vdb.client.values import EventRun, StreamAppend
from vdb.errors import EventIdTaken, TooLarge, WrongExpectedOffset
from vdb.fhir.lines import Resource, read_line
from vdb.fhir.resources import data_class_of, stream_of, type_of_file
from vdb.kernel.command import Expected, ExpectedKind
from vdb.marks import mark
from vdb.types import GLOBAL_GROUP, DataClass
from vdb.wire.event import ENVELOPE_SCHEMA

BATCH_RESOURCES = 100
BATCH_BYTES = 256 * 1024
OTHER_WRITER = (WrongExpectedOffset, EventIdTaken)
"""Something was appended since the ids were read: other resources, or some of these."""

Lines = Iterable[tuple[int, bytes]]
"""(line number from 1, the line without its end)."""


class ImportClient(Protocol):
    """What the importer needs of a client."""

    async def create_stream(
        self, name: str, data_class: DataClass, placement: str, *, if_not_exists: bool
    ) -> object: ...

    async def append(self, appends: Sequence[StreamAppend], /) -> object:
        """All or nothing; WrongExpectedOffset, EventIdTaken, TooLarge."""

    async def read_event_ids(self, stream: str, from_offset: int, /) -> tuple[Sequence[bytes], int]:
        """Ids of the next events, and the offset to go on from: `from_offset` itself at the stream's end."""


@frozen(kw_only=True)
class Progress:
    """How far an import is. Sent after every batch, and at the end of each file."""

    file: str
    resources: int
    """Read so far in all files, bad lines included."""
    bytes: int


@frozen(kw_only=True)
class Rejected:
    file: str
    line: int
    reason: str


@define(kw_only=True)
class ImportReport:
    resources: int = 0
    """Good ones: appended or there already."""
    appended: int = 0
    """By this import, or as the very same batch by another one a moment before."""
    duplicates: int = 0
    rejected: int = 0
    unattributed: int = 0
    """Appended PHI that names no patient: it can be erased with its stream only."""
    skipped_files: list[str] = field(factory=list)
    """Files that don't hold resources, by their names."""


@define
class _Stream:
    """A stream while it is imported. `head` is its next offset as far as `stored` goes."""

    resource_type: str
    name: str
    head: int = 0
    stored: set[bytes] = field(factory=set)
    waiting: dict[bytes, tuple[Resource, str, int]] = field(factory=dict)
    """Event id to (resource, file, line), in the file's order."""
    waiting_bytes: int = 0

    def has(self, resource: Resource) -> bool:
        """Whether it is stored, as far as we know now, or waits. True of a moment: ask again after an await."""
        return resource.event_id in self.stored or resource.event_id in self.waiting


class FhirImporter:
    """One import. `placement` is the region for PHI; the rest goes to the global group."""

    def __init__(
        self,
        client: ImportClient,
        placement: str,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        on_rejected: Callable[[Rejected], None] | None = None,
    ) -> None:
        self._client = client
        self._placement = placement
        self._on_progress = on_progress
        self._on_rejected = on_rejected
        self._streams: dict[str, _Stream] = {}
        self._lines = 0
        self._bytes = 0
        self.report = ImportReport()

    async def run(self, files: Iterable[tuple[str, Lines]]) -> ImportReport:
        """Import files given as (name, lines). What the client raises comes out; then run a new import again."""
        for name, lines in files:
            resource_type = type_of_file(name)
            if resource_type is None:
                self.report.skipped_files.append(name)
                continue
            stream = await self._open(resource_type)
            for number, line in lines:
                await self._take(stream, name, number, line)
            await self._flush(stream)
            self._tell_progress(name)
        return self.report

    async def _open(self, resource_type: str) -> _Stream:
        stream = self._streams.get(resource_type)
        if stream is None:
            data_class = data_class_of(resource_type)
            placement = self._placement if data_class is DataClass.PHI else GLOBAL_GROUP
            stream = self._streams[resource_type] = _Stream(resource_type, stream_of(resource_type))
            await self._client.create_stream(stream.name, data_class, placement, if_not_exists=True)
            await self._read_ids(stream)
        return stream

    async def _read_ids(self, stream: _Stream) -> None:
        while True:
            ids, head = await self._client.read_event_ids(stream.name, stream.head)
            stream.stored.update(ids)
            if head <= stream.head:
                return
            stream.head = head

    async def _take(self, stream: _Stream, file: str, number: int, line: bytes) -> None:
        if not line.strip():
            return
        self._lines += 1
        self._bytes += len(line) + 1
        found = read_line(stream.resource_type, line)
        if isinstance(found, str):
            self._reject(file, number, found)
            return
        self.report.resources += 1
        if not stream.has(found) and stream.waiting and stream.waiting_bytes + len(found.payload) > BATCH_BYTES:
            await self._flush(stream)  # may learn of another writer's events: so it is asked again below
        if stream.has(found):
            self.report.duplicates += 1
            return
        stream.waiting[found.event_id] = (found, file, number)
        stream.waiting_bytes += len(found.payload)
        if len(stream.waiting) >= BATCH_RESOURCES:
            await self._flush(stream)
            self._tell_progress(file)

    async def _flush(self, stream: _Stream) -> None:
        """Append what waits, as one atomic batch."""
        while stream.waiting:
            resources = [resource for resource, _file, _line in stream.waiting.values()]
            try:
                await self._append(stream, resources)
            except OTHER_WRITER:
                mark("fhir.other_writer")
                await self._read_ids(stream)
                self._drop_stored(stream)
            except TooLarge:
                await self._flush_one_by_one(stream)
            else:
                stream.waiting.clear()
        stream.waiting_bytes = 0

    async def _append(self, stream: _Stream, resources: Sequence[Resource]) -> None:
        expected = Expected(ExpectedKind.EXACT, stream.head)
        append = StreamAppend(stream=stream.name, runs=_runs(resources), expected=expected)
        await self._client.append([append])
        stream.head += len(resources)
        stream.stored.update(resource.event_id for resource in resources)
        self.report.appended += len(resources)
        if data_class_of(stream.resource_type) is DataClass.PHI:
            self.report.unattributed += sum(not resource.subject for resource in resources)

    async def _flush_one_by_one(self, stream: _Stream) -> None:
        """A batch didn't fit: find the resources that fit no message, reject them, append the others."""
        for event_id, (resource, file, number) in list(stream.waiting.items()):
            try:
                await self._append(stream, [resource])
            except TooLarge:
                self.report.resources -= 1
                self._reject(file, number, "larger than a message may be")
            except OTHER_WRITER:
                return  # the caller starts again with what still waits
            del stream.waiting[event_id]

    def _drop_stored(self, stream: _Stream) -> None:
        for event_id in list(stream.waiting):
            if event_id in stream.stored:
                self.report.duplicates += 1
                del stream.waiting[event_id]

    def _reject(self, file: str, line: int, reason: str) -> None:
        self.report.rejected += 1
        if self._on_rejected is not None:
            self._on_rejected(Rejected(file=file, line=line, reason=reason))

    def _tell_progress(self, file: str) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(file=file, resources=self._lines, bytes=self._bytes))


def _runs(resources: Sequence[Resource]) -> tuple[EventRun, ...]:
    """One run per subject, subjects in the order in which they come first."""
    by_subject: dict[str, list[Resource]] = {}
    for resource in resources:
        by_subject.setdefault(resource.subject, []).append(resource)
    return tuple(
        EventRun(
            payloads=tuple(resource.payload for resource in group),
            subject=subject,
            event_ids=tuple(resource.event_id for resource in group),
            schema_id=ENVELOPE_SCHEMA,
        )
        for subject, group in by_subject.items()
    )
