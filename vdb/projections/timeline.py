"""Timeline: what happened to a subject, in clinical time order.

The table's key is (kind, id): each entity has one entry, which later events change. Its columns:

    kind, id        from the rule
    <subject>       whose entry it is (the column's name is a setting)
    time_us         clinical time, microseconds UTC: times of different zones sort right
    time            the same as it was written
    <fields>        text, such as a summary

Rules
- A rule names an event type (or "" for opaque payloads without one) and where id, subject, time and fields are.
- An event whose rule finds no subject is on nobody's timeline, and is passed over; one without an id is an error.
- A time that isn't there leaves the entry's time; one that can't be read is kept as text, with time_us NULL.
- A field that isn't there, or is null, keeps its value. `constants` are set after the fields.
- A rule with `delete` removes the entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen

from vdb.errors import ConfigError
from vdb.ports import Connection
from vdb.projections.handler import Context, StoredEvent
from vdb.projections.latest import Payload, event_type, required
from vdb.projections.paths import MISSING, Path, as_optional_path, as_path, as_paths
from vdb.projections.tables import Column, ColumnType, Table
from vdb.projections.times import parse_time
from vdb.projections.values import SqlValue, to_sql

_FIXED = (Column("kind"), Column("id"))
_TIMES = (Column("time_us", ColumnType.TIME), Column("time"))


@frozen(kw_only=True)
class Entry:
    """The rule for one event type."""

    type: str
    kind: str
    id: Path = field(converter=as_path)
    subject: Path = field(converter=as_path)
    subject_prefix: str = ""
    """Cut from the front of the subject, where it is there ("Patient/" of a FHIR reference)."""
    time: Path | None = field(default=None, converter=as_optional_path)
    fields: Mapping[str, Path] = field(factory=dict, converter=as_paths)
    constants: Mapping[str, str] = field(factory=dict)
    delete: bool = False


@frozen(kw_only=True)
class Timeline:
    """A template. See the module's docstring."""

    only_writes = True
    """See `vdb.projections.apply`."""

    table: str
    subject_column: str = "subject"
    fields: tuple[str, ...] = ("summary",)
    entries: tuple[Entry, ...]
    payload: Payload = "event"
    type_path: Path | None = field(default=None, converter=as_optional_path)
    tables: tuple[Table, ...] = field(init=False, repr=False)
    _by_type: Mapping[str, Entry] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        by_type: dict[str, Entry] = {}
        for entry in self.entries:
            if entry.type in by_type:
                raise ConfigError(f"table {self.table!r}: two entries for the event type {entry.type!r}")
            for name in (*entry.fields, *entry.constants):
                if name not in self.fields:
                    raise ConfigError(f"table {self.table!r}: entry {entry.type!r} sets {name!r}, which isn't a field")
            by_type[entry.type] = entry
        columns = (*_FIXED, Column(self.subject_column), *_TIMES, *(Column(name) for name in self.fields))
        table = Table(name=self.table, columns=columns, key=("kind", "id"), indexes=((self.subject_column, "time_us"),))
        object.__setattr__(self, "tables", (table,))
        object.__setattr__(self, "_by_type", by_type)

    def claims(self, event_type: str) -> bool:
        """Whether events of this type may change rows; "" is that of opaque payloads."""
        return event_type in self._by_type if event_type else self.payload == "json"

    def apply(self, db: Connection, event: StoredEvent, context: Context) -> None:
        type_ = event_type(event, context, self.payload, self.type_path)
        entry = None if type_ is None else self._by_type.get(type_)
        if entry is None:
            return
        table = self.tables[0]
        body = event.json()
        subject = entry.subject.find(body, event, context)
        if not isinstance(subject, str):
            return
        values: dict[str, SqlValue] = {
            "kind": entry.kind,
            "id": required(_FIXED[1], entry.id, body, event, context),
        }
        if entry.delete:
            db.execute(table.delete_sql(), tuple(values.values()))
            return
        values[self.subject_column] = subject.removeprefix(entry.subject_prefix)
        _set_time(values, entry, body, event, context)
        for column in table.columns[5:]:
            path = entry.fields.get(column.name)
            value = MISSING if path is None else path.find(body, event, context)
            if value is not MISSING and value is not None:
                assert path is not None
                values[column.name] = to_sql(value, column, path.text)
        values.update(entry.constants)
        db.execute(table.upsert_sql(tuple(values)), tuple(values.values()))

    def joined(self, other: Timeline) -> Timeline:
        """One timeline with the entries of both; ConfigError unless their tables are equal."""
        if self.tables != other.tables or (self.payload, self.type_path) != (other.payload, other.type_path):
            raise ConfigError(f"timelines {self.table!r} and {other.table!r} differ in columns: expected the same ones")
        return evolve(self, entries=self.entries + other.entries)

    def description(self) -> str:
        return repr(self)


def _set_time(values: dict[str, SqlValue], entry: Entry, body: Any, event: StoredEvent, context: Context) -> None:
    value = MISSING if entry.time is None else entry.time.find(body, event, context)
    if isinstance(value, str):
        values["time_us"] = parse_time(value)
        values["time"] = value
    elif isinstance(value, int) and entry.time is not None and not entry.time.needs_body:
        values["time_us"] = value
