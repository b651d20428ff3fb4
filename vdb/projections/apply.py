"""Applying runs to a database: the synchronous core of the runner, of rebuilds and of the simulator's model.

Rules
- Rows and position commit in one transaction, or neither does.
- Runs of streams that the projection doesn't read are passed over, and the position moves past them.
- Nothing but the runs, the configuration and the database decides the rows. What is parked is in the database.
- A template that only writes has its rows gathered and written many at a time; a failure then shows only later, and
  the same events are applied again with `exact`, which tells the culprit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from attrs import define, field, frozen

from vdb.errors import UnknownEventType, VerityError, WireError
from vdb.events.recorded import RecordedEvent, record_from, recorded
from vdb.limits import EVENT_ID_SIZE
from vdb.ports import Connection
from vdb.projections import parking
from vdb.projections.config import ErrorPolicy, ProjectionConfig
from vdb.projections.handle import ProjectionDb, refuse_clocks
from vdb.projections.handler import Context, StoredEvent
from vdb.projections.meta import advance, prepare
from vdb.projections.parking import ParkedEvent
from vdb.projections.source import OpenedRun
from vdb.projections.writing import RowWriter
from vdb.types import GroupId, Position
from vdb.wire.event import ERASED_SCHEMA, decode_batch

_CATALOGUE_STREAM = 0
_BEGIN = "BEGIN IMMEDIATE"


@frozen(kw_only=True)
class Span:
    """Runs of one group, and the positions [start, end) of them that are applied together."""

    group: GroupId
    runs: Sequence[OpenedRun]
    start: int
    end: int
    live_from: int | None = None
    """Events from here on have effects; None: none has."""
    handled: list[RecordedEvent] = field(factory=list, repr=False)
    """Filled: the live events that a handler took."""


@define
class Culprit:
    """Which event was at work when something raised; `number` is -1 outside of the handlers."""

    number: int = -1
    stream: str = field(default="", repr=False)
    event: StoredEvent | None = None
    """None while its envelope was being read."""
    exact: bool = False
    """Set by the caller: each event's rows are written before the next one is looked at."""

    @property
    def event_type(self) -> str:
        return "" if self.event is None else self.event.type

    @property
    def key(self) -> str:
        """Whose events wait behind it when it is parked."""
        return self.stream if self.event is None else key_of(self.event, self.stream)


def key_of(event: StoredEvent, stream: str) -> str:
    """The subject of an event, or else its stream."""
    try:
        return event.subject or stream
    except WireError:
        return stream


def prepare_database(db: Connection, config: ProjectionConfig, groups: tuple[GroupId, ...]) -> dict[GroupId, int]:
    """Create the tables that are missing; the position of each group. Called once for each connection that writes."""
    if config.guarded:
        refuse_clocks(db)
    with _transaction(db):
        return prepare(db, config, groups)


def commit_span(db: Connection, config: ProjectionConfig, span: Span, culprit: Culprit) -> None:
    """Apply the span's events and move the position from its start to its end, in one transaction.

    What a handler raises comes out as it is, after the rollback; `culprit` then says at which event.
    """
    span.handled.clear()
    with _transaction(db):
        wanted = [
            run
            for run in span.runs
            if run.next_position > span.start and run.first_position < span.end and _wanted(run, config)
        ]
        if wanted:
            keys = parking.parked_keys(db, span.group)
            if keys:
                _apply_around(db, config, wanted, span, culprit, keys)
            else:
                with _target(db, config, culprit) as target:
                    for run in wanted:
                        _apply_run(target, config, run, span, culprit)
                culprit.number = -1
        advance(db, config, span.group, span.start, span.end)


def commit_failure(
    db: Connection, config: ProjectionConfig, span: Span, culprit: Culprit, error: Exception | SystemExit
) -> None:
    """Park or skip the one event of a span, as the projection's policy says, and move past it."""
    event = ParkedEvent(
        position=Position(span.group, culprit.number),
        stream=culprit.stream,
        type=culprit.event_type,
        key=culprit.key,
        error=cause_of(error),
        attempts=1,
        skipped=config.on_error is ErrorPolicy.SKIP,
    )
    with _transaction(db):
        parking.put(db, (event,))
        advance(db, config, span.group, span.start, span.end)


def commit_parked(db: Connection, config: ProjectionConfig, run: OpenedRun, event: ParkedEvent) -> None:
    """Apply an event that was parked, in a transaction of its own; an event that isn't parked any more is left."""
    number = event.position.number
    span = Span(group=run.group, runs=(run,), start=number, end=number + 1)
    with _transaction(db):
        if parking.find(db, event.position) is not None:
            parking.remove(db, event.position)
            with _target(db, config, Culprit()) as target:
                _apply_run(target, config, run, span, Culprit())


def fold(runs: Iterable[OpenedRun], config: ProjectionConfig, db: Connection) -> None:
    """Apply runs to an empty database without a runner: what a projection must hold, for checkers and tests.

    `db` is any SQLite connection in manual transaction mode. Each group's runs come in position order.
    """
    if config.guarded:
        refuse_clocks(db)
    with _transaction(db):
        for table in config.tables:
            for statement in table.ddl():
                db.execute(statement)
        with _target(db, config, Culprit()) as target:
            for run in runs:
                if _wanted(run, config):
                    span = Span(group=run.group, runs=(run,), start=run.first_position, end=run.next_position)
                    _apply_run(target, config, run, span, Culprit())


def cause_of(error: Exception | SystemExit) -> str:
    """What may be told of a failure: our own errors keep to the rule about messages, others may quote the event."""
    return f"{type(error).__name__}: {error}" if isinstance(error, VerityError) else type(error).__name__


def _wanted(run: OpenedRun, config: ProjectionConfig) -> bool:
    return run.stream_id != _CATALOGUE_STREAM and config.streams.wants(run.stream)


@contextlib.contextmanager
def _target(db: Connection, config: ProjectionConfig, culprit: Culprit) -> Iterator[Any]:
    """What the template writes to: a guarded handle, a writer that gathers rows, or the connection itself."""
    if config.guarded:
        handle = ProjectionDb(db)
        with handle.guarded():
            yield handle
    elif config.only_writes and not culprit.exact:
        writer = RowWriter(db)
        yield writer
        writer.flush()
    else:
        yield db


def _apply_run(db: Any, config: ProjectionConfig, run: OpenedRun, span: Span, culprit: Culprit) -> None:
    first = run.first_position
    culprit.number, culprit.stream, culprit.event = max(first, span.start), run.stream, None
    if run.schema_id == ERASED_SCHEMA and not config.takes_erased:
        return
    payloads = _payloads(run)
    begin, end = max(0, span.start - first), min(run.count, span.end - first)
    if isinstance(db, RowWriter) and span.live_from is None and (apply_all := config.apply_all) is not None:
        apply_all(db, run, payloads if (begin, end) == (0, run.count) else payloads[begin:end], begin)
        return
    apply, schema_id = config.template.apply, run.schema_id
    handle = (db if isinstance(db, ProjectionDb) else ProjectionDb(db)) if config.guarded else None
    live_from = span.end if span.live_from is None else span.live_from
    for index in range(begin, end):
        culprit.number, culprit.event = first + index, None
        event = StoredEvent.of(payloads[index], schema_id)
        culprit.event = event
        apply(db, event, Context(run, index, event, handle))
        if first + index >= live_from and config.claims(event.type):
            record = _record(run, index, event)
            if record is not None:
                span.handled.append(record)


def _apply_around(
    db: Connection,
    config: ProjectionConfig,
    runs: Sequence[OpenedRun],
    span: Span,
    culprit: Culprit,
    keys: dict[str, None],
) -> None:
    """Apply all events but those of these keys, which are put behind the ones that are parked."""
    behind: list[ParkedEvent] = []
    with _target(db, config, culprit) as target:
        for run in runs:
            culprit.stream = run.stream
            payloads = _payloads(run)
            for number in range(max(run.first_position, span.start), min(run.next_position, span.end)):
                culprit.number, culprit.event = number, None
                event = StoredEvent.of(payloads[number - run.first_position], run.schema_id)
                if config.claims(event.type) and (key := key_of(event, run.stream)) in keys:
                    place = Position(span.group, number)
                    behind.append(ParkedEvent(position=place, stream=run.stream, type=event.type, key=key))
                else:
                    one = Span(
                        group=span.group,
                        runs=(run,),
                        start=number,
                        end=number + 1,
                        live_from=span.live_from,
                        handled=span.handled,
                    )
                    _apply_run(target, config, run, one, culprit)
    culprit.number = -1
    parking.put(db, behind)


def _payloads(run: OpenedRun) -> list[bytes]:
    payloads = decode_batch(run.batch)
    if len(payloads) != run.count:
        raise WireError(f"a run of {run.count} events holds {len(payloads)} payloads")
    return payloads


def _record(run: OpenedRun, index: int, event: StoredEvent) -> RecordedEvent | None:
    """What effects are given; None for an event of a type that isn't registered, which rows can be made of."""
    offset, position = run.first_offset + index, Position(run.group, run.first_position + index)
    if event.envelope is None:
        event_id = run.event_ids[EVENT_ID_SIZE * index : EVENT_ID_SIZE * (index + 1)]
        return record_from(event.body, run.schema_id, run.stream, offset, position, run.time, event_id, run.data_class)
    try:
        decoded = event.decode()
    except UnknownEventType:
        return None
    return recorded(event.envelope, decoded, run.stream, offset, position, run.time, run.data_class)


@contextlib.contextmanager
def _transaction(db: Connection) -> Iterator[None]:
    db.execute(_BEGIN)
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # SQLite has ended the transaction itself when the disk is full or fails; then there is nothing to roll back.
        with contextlib.suppress(Exception):
            db.execute("ROLLBACK")
        raise
