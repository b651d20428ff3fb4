"""Applying runs to a database: the synchronous core of the runner, of rebuilds and of the simulator's model.

Rules
- Rows and position commit in one transaction, or neither does.
- Runs of streams that the projection doesn't read are passed over, and the position moves past them.
- Nothing but the runs, the configuration and the database decides the rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

from attrs import define, frozen

from vdb.errors import WireError
from vdb.limits import EVENT_ID_SIZE
from vdb.ports import Connection
from vdb.projections.config import ProjectionConfig
from vdb.projections.handler import Context, StoredEvent
from vdb.projections.meta import advance, prepare
from vdb.projections.source import OpenedRun
from vdb.types import GroupId, Position
from vdb.wire.event import ENVELOPE_SCHEMA, decode_batch, decode_envelope

_CATALOGUE_STREAM = 0
_NO_EVENT_ID = bytes(EVENT_ID_SIZE)


@frozen(kw_only=True)
class Span:
    """Runs of one group, and the positions [start, end) of them that are applied together."""

    group: GroupId
    runs: Sequence[OpenedRun]
    start: int
    end: int


@define
class Culprit:
    """Which event was at work when something raised; `number` is -1 outside of the handlers."""

    number: int = -1
    event_type: str = ""


def prepare_database(db: Connection, config: ProjectionConfig, groups: tuple[GroupId, ...]) -> dict[GroupId, int]:
    """Create the tables that are missing; the position of each group."""
    with _transaction(db):
        return prepare(db, config, groups)


def commit_span(db: Connection, config: ProjectionConfig, span: Span, culprit: Culprit) -> None:
    """Apply the span's events and move the position from its start to its end, in one transaction.

    What a handler raises comes out as it is, after the rollback; `culprit` then says at which event.
    """
    with _transaction(db):
        for run in span.runs:
            if run.next_position > span.start and run.first_position < span.end and _wanted(run, config):
                _apply_run(db, config, run, span, culprit)
        advance(db, config, span.group, span.start, span.end)


def fold(runs: Iterable[OpenedRun], config: ProjectionConfig, db: Connection) -> None:
    """Apply runs to an empty database without a runner: what a projection must hold, for checkers and tests.

    `db` is any SQLite connection in manual transaction mode. Each group's runs come in position order.
    """
    with _transaction(db):
        for table in config.tables:
            for statement in table.ddl():
                db.execute(statement)
        for run in runs:
            if _wanted(run, config):
                span = Span(group=run.group, runs=(run,), start=run.first_position, end=run.next_position)
                _apply_run(db, config, run, span, Culprit())


def _wanted(run: OpenedRun, config: ProjectionConfig) -> bool:
    return run.stream_id != _CATALOGUE_STREAM and config.streams.wants(run.stream)


def _apply_run(db: Connection, config: ProjectionConfig, run: OpenedRun, span: Span, culprit: Culprit) -> None:
    culprit.number, culprit.event_type = max(run.first_position, span.start), ""
    payloads = decode_batch(run.batch)
    if len(payloads) != run.count:
        raise WireError(f"a run of {run.count} events holds {len(payloads)} payloads")
    for index in range(max(0, span.start - run.first_position), min(run.count, span.end - run.first_position)):
        culprit.number, culprit.event_type = run.first_position + index, ""
        event, event_id = _stored_event(run, index, payloads[index])
        culprit.event_type = event.type
        context = Context(
            run.tenant,
            run.stream,
            run.first_offset + index,
            Position(run.group, run.first_position + index),
            run.time,
            event_id,
            run.data_class,
        )
        config.template.apply(db, event, context)
    culprit.number = -1


def _stored_event(run: OpenedRun, index: int, payload: bytes) -> tuple[StoredEvent, bytes]:
    event_id = run.event_ids[EVENT_ID_SIZE * index : EVENT_ID_SIZE * (index + 1)] or _NO_EVENT_ID
    if run.schema_id != ENVELOPE_SCHEMA:
        return StoredEvent("", 0, 0, "", "", payload, True), event_id
    envelope = decode_envelope(payload)
    event = StoredEvent(
        envelope.type, envelope.version, envelope.time, envelope.actor, envelope.subject, envelope.body, False
    )
    return event, envelope.event_id


@contextlib.contextmanager
def _transaction(db: Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # SQLite has ended the transaction itself when the disk is full or fails; then there is nothing to roll back.
        with contextlib.suppress(Exception):
            db.execute("ROLLBACK")
        raise
