"""Events as a log would hold them, without a node: for projections under test.

Rules
- Each event given bare is appended alone, to the first stream that the projection reads (`patient-1` for `patient-*`);
  those of one `stream(...)` are appended together.
- Time starts at START and goes on by a second with each append, unless `stream` says when. Ids count up. So a test has
  the same events every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

from attrs import field, frozen

from vdb.events.new_event import EventEncoder
from vdb.events.times import time_us
from vdb.limits import EVENT_ID_SIZE
from vdb.projections.config import ProjectionConfig
from vdb.projections.source import OpenedRun
from vdb.types import DataClass, GroupId, StreamId, TenantId
from vdb.wire.event import ENVELOPE_SCHEMA, encode_batch

GROUP = GroupId("test")
TENANT = TenantId(1)
START = datetime(2026, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000


@frozen
class StreamPart:
    """Events that are appended to a stream together. See `stream`."""

    name: str
    events: tuple[Any, ...] = field(repr=False)
    time: int | None = None


def stream(name: str, *events: Any, time: datetime | int | None = None) -> StreamPart:
    """Events (or `vdb.NewEvent`s) of this stream; `time` is when the log says that they were appended."""
    return StreamPart(name, events, None if time is None else time_us(time, "the time of an append"))


class EventLog:
    """Runs, in the order in which events are added."""

    def __init__(self, config: ProjectionConfig) -> None:
        self.runs: list[OpenedRun] = []
        self.end = 0
        """The position after the last event."""
        self._own_stream = _first_stream(config)
        self._streams: dict[str, tuple[StreamId, int]] = {}
        self._time = time_us(START, "the first time")

    def add(self, given: Sequence[Any]) -> None:
        """Append events, and parts of streams."""
        for one in given:
            self._append(one if isinstance(one, StreamPart) else StreamPart(self._own_stream, (one,)))

    def _append(self, part: StreamPart) -> None:
        time = self._time if part.time is None else part.time
        self._time = max(self._time, time) + _SECOND
        ids = count(self.end + 1)
        encoder = EventEncoder(new_id=lambda: next(ids).to_bytes(EVENT_ID_SIZE, "big"), now=time)
        for run in encoder.runs(part.events):
            number, offset = self._streams.get(part.name, (StreamId(len(self._streams) + 1), 0))
            self.runs.append(
                OpenedRun(
                    tenant=TENANT,
                    group=GROUP,
                    stream=part.name,
                    stream_id=number,
                    first_offset=offset,
                    first_position=self.end,
                    time=time,
                    data_class=DataClass.PHI,
                    schema_id=ENVELOPE_SCHEMA,
                    batch=encode_batch(run.payloads),
                    event_ids=b"".join(run.event_ids),
                    count=len(run.payloads),
                )
            )
            self._streams[part.name] = (number, offset + len(run.payloads))
            self.end += len(run.payloads)


def _first_stream(config: ProjectionConfig) -> str:
    if config.streams.names:
        return config.streams.names[0]
    return f"{config.streams.prefixes[0]}1"
