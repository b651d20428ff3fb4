"""Projections from a configuration file's tables: strict, so that a misspelt key is an error and not a silence.

[[projection]]
name = "notes_current"
version = 1
tenant = "*"                        # or a tenant's number
streams = ["notes", "fhir.*"]       # exact names, or PREFIX*
inline = false                      # true: an append is answered once its events are in the rows
on-error = "stop"                   # or "park", or "skip"
batch-events = 2000                 # applied in one transaction, at most
batch-seconds = 0.0                 # how long a transaction waits for that many
check = ""                          # a query that gives no row while the rows are right
hold = false                        # true: rows of a raised version wait for `vdb projection switch`

[projection.latest-by-id]
table = "notes"
key = "note_id"                     # the key's column
key-path = "note_id"                # where it is in an event (default: the column's name)
events = ["note-created", "note-amended", "note-signed"]
deletes = ["note-withdrawn"]
nulls = "keep"                      # or "clear"
[projection.latest-by-id.columns]   # column = path, or a table with path and type
text = "text"
signed_us = { path = "signed_at", type = "time" }
[projection.latest-by-id.constants.note-signed]
status = "signed"

[projection.timeline]               # instead of latest-by-id
table = "timeline"
subject-column = "patient"
fields = ["summary"]
[[projection.timeline.entry]]
type = "note-created"
kind = "note"
id = "note_id"
subject = "patient_id"
time = "written_at"
fields = { summary = "title" }
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from vdb.errors import ConfigError, InvalidArgument
from vdb.projections.config import BATCH_EVENTS, ProjectionConfig, joined
from vdb.projections.handler import Template
from vdb.projections.latest import LatestById
from vdb.projections.tables import ColumnType
from vdb.projections.timeline import Entry, Timeline
from vdb.types import check_tenant_id

_Constant = str | int | float


class _Strict(msgspec.Struct, forbid_unknown_fields=True, rename="kebab", kw_only=True, frozen=True):
    pass


class _Column(_Strict, kw_only=True, frozen=True):
    path: str
    type: ColumnType = ColumnType.TEXT


class _Latest(_Strict, kw_only=True, frozen=True):
    table: str = ""
    key: str = "id"
    key_path: str = ""
    columns: dict[str, str | _Column] = {}
    events: list[str] = []
    deletes: list[str] = []
    constants: dict[str, dict[str, _Constant]] = {}
    nulls: Literal["keep", "clear"] = "keep"
    payload: Literal["event", "json"] = "event"
    type_path: str = ""
    indexes: list[list[str]] = []


class _Entry(_Strict, kw_only=True, frozen=True):
    type: str
    kind: str
    id: str
    subject: str = "@subject"
    subject_prefix: str = ""
    time: str = ""
    fields: dict[str, str] = {}
    constants: dict[str, str] = {}
    delete: bool = False


class _Timeline(_Strict, kw_only=True, frozen=True):
    table: str = ""
    subject_column: str = "subject"
    fields: tuple[str, ...] = ("summary",)
    entry: list[_Entry]
    payload: Literal["event", "json"] = "event"
    type_path: str = ""


class _Projection(_Strict, kw_only=True, frozen=True):
    name: str
    version: int = 1
    tenant: int | Literal["*"] = "*"
    streams: list[str]
    inline: bool = False
    on_error: Literal["stop", "park", "skip"] = "stop"
    batch_events: int = BATCH_EVENTS
    batch_seconds: float = 0.0
    check: str = ""
    hold: bool = False
    latest_by_id: _Latest | None = None
    timeline: _Timeline | None = None


def parse_projections(tables: Sequence[Any]) -> tuple[ProjectionConfig, ...]:
    """The projections of a file's `projection` tables; ConfigError names the key and what was expected."""
    return joined(_parse(table, number) for number, table in enumerate(tables, 1))


def _parse(table: Any, number: int) -> ProjectionConfig:
    try:
        found = msgspec.convert(table, _Projection)
    except msgspec.ValidationError as error:
        name = table.get("name") if isinstance(table, dict) else None
        raise ConfigError(f"projection {name or number}: {error}") from None
    try:
        return ProjectionConfig(
            name=found.name,
            version=found.version,
            tenant=None if found.tenant == "*" else check_tenant_id(found.tenant),
            streams=found.streams,
            template=_template(found),
            inline=found.inline,
            on_error=found.on_error,
            batch_events=found.batch_events,
            batch_seconds=found.batch_seconds,
            check=found.check,
            hold=found.hold,
        )
    except InvalidArgument as error:
        raise ConfigError(f"projection {found.name}: {error}") from None


def _template(found: _Projection) -> Template:
    if (found.latest_by_id is None) == (found.timeline is None):
        raise ConfigError(f"projection {found.name!r}: expected one of latest-by-id and timeline")
    if found.latest_by_id is not None:
        return _latest(found.name, found.latest_by_id)
    assert found.timeline is not None
    return _timeline(found.name, found.timeline)


def _latest(name: str, found: _Latest) -> LatestById:
    columns = {
        column: _Column(path=value) if isinstance(value, str) else value for column, value in found.columns.items()
    }
    return LatestById(
        table=found.table or name,
        key=found.key,
        key_path=found.key_path or found.key,
        columns={column: value.path for column, value in columns.items()},
        types={column: value.type for column, value in columns.items() if value.type is not ColumnType.TEXT},
        events=tuple(found.events),
        deletes=tuple(found.deletes),
        constants=found.constants,
        nulls=found.nulls,
        payload=found.payload,
        type_path=found.type_path,
        indexes=tuple(tuple(index) for index in found.indexes),
    )


def _timeline(name: str, found: _Timeline) -> Timeline:
    return Timeline(
        table=found.table or name,
        subject_column=found.subject_column,
        fields=found.fields,
        entries=tuple(
            Entry(
                type=entry.type,
                kind=entry.kind,
                id=entry.id,
                subject=entry.subject,
                subject_prefix=entry.subject_prefix,
                time=entry.time,
                fields=entry.fields,
                constants=entry.constants,
                delete=entry.delete,
            )
            for entry in found.entry
        ),
        payload=found.payload,
        type_path=found.type_path,
    )
