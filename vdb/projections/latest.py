"""LatestById: one row per entity, the latest value of each column.

Rules
- Each event of interest upserts the columns that it holds; a column whose path isn't in the event keeps its value.
- null leaves the column as it is (an optional field that isn't set), unless `nulls` is "clear".
- `constants` sets fixed values by event type, after the columns (a status, for instance).
- An event type in `deletes` removes the row. A later event makes a new one.
- An event of interest without its key is an error: the projection stops there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import field, frozen

from vdb.errors import ConfigError, InvalidEvent
from vdb.events import REGISTRY
from vdb.ports import Connection
from vdb.projections.handler import Context, StoredEvent, decode_json
from vdb.projections.paths import MISSING, Path, as_optional_path, as_path, as_paths
from vdb.projections.shapes import Shape, make_shape, row_of
from vdb.projections.source import OpenedRun
from vdb.projections.tables import Column, ColumnType, Table
from vdb.projections.values import SqlValue, to_sql
from vdb.projections.writing import RowWriter
from vdb.wire.envelope_view import type_and_body
from vdb.wire.event import ENVELOPE_SCHEMA

_SHAPES_MAX = 1_000
_UNKNOWN: Any = object()

Payload = Literal["event", "json"]
"""event: envelopes with a JSON body. json: opaque payloads that are JSON themselves, too."""


@frozen(kw_only=True)
class _Plan:
    """What an event type does to its row."""

    readers: tuple[tuple[str, Path, Column, bool], ...]
    """Field of the body, if the path is no more than that; path; column; whether it is text."""
    constant_names: tuple[str, ...]
    constants: tuple[SqlValue, ...]
    statements: dict[int, str] = field(factory=dict)
    """By the readers that found nothing, a bit for each."""


@frozen(kw_only=True)
class LatestById:
    """A template. `columns` maps a column's name to its path; `types` gives columns that aren't text theirs."""

    only_writes = True
    """See `vdb.projections.apply`."""

    table: str
    key: str = "id"
    """The key's column."""
    key_path: Path = field(converter=as_path)
    columns: Mapping[str, Path] = field(converter=as_paths)
    types: Mapping[str, ColumnType] = field(factory=dict)
    events: tuple[str, ...] = ()
    """Event types of interest; empty: all."""
    deletes: tuple[str, ...] = ()
    constants: Mapping[str, Mapping[str, SqlValue]] = field(factory=dict)
    """Event type to column to value."""
    nulls: Literal["keep", "clear"] = "keep"
    payload: Payload = "event"
    type_path: Path | None = field(default=None, converter=as_optional_path)
    """Where an opaque JSON payload says its type; empty: it has the type ""."""
    indexes: tuple[tuple[str, ...], ...] = ()
    tables: tuple[Table, ...] = field(init=False, repr=False)
    _plans: dict[str, _Plan] = field(init=False, repr=False, eq=False)
    """By event type, of those that have constants."""
    _plan: _Plan = field(init=False, repr=False, eq=False)
    """Of all others."""
    _shapes: dict[bytes, Shape | None] = field(init=False, repr=False, eq=False, factory=dict)
    _wanted: dict[str, None] = field(init=False, repr=False, eq=False)
    """Events of interest; empty: all."""

    def __attrs_post_init__(self) -> None:
        if self.key in self.columns:
            raise ConfigError(f"table {self.table!r}: a column stands twice: {self.key!r} is the key")
        for name in (*self.types, *(name for constants in self.constants.values() for name in constants)):
            if name != self.key and name not in self.columns and not self._is_constant(name):
                raise ConfigError(f"table {self.table!r}: {name!r} has a type or a value, but isn't a column")
        names = dict.fromkeys((self.key, *self.columns, *self._constant_names()))
        columns = tuple(Column(name, self.types.get(name, ColumnType.TEXT)) for name in names)
        table = Table(name=self.table, columns=columns, key=(self.key,), indexes=self.indexes)
        object.__setattr__(self, "tables", (table,))
        plans = {type_: self._make_plan(constants) for type_, constants in self.constants.items()}
        object.__setattr__(self, "_plans", plans)
        object.__setattr__(self, "_plan", self._make_plan({}))
        wanted = dict.fromkeys((*self.events, *self.deletes)) if self.events else {}
        object.__setattr__(self, "_wanted", wanted)

    def _make_plan(self, constants: Mapping[str, SqlValue]) -> _Plan:
        readers = tuple(
            (self.columns[column.name].field, self.columns[column.name], column, column.type is ColumnType.TEXT)
            for column in self.tables[0].columns
            if column.name in self.columns and column.name not in constants
        )
        return _Plan(readers=readers, constant_names=tuple(constants), constants=tuple(constants.values()))

    def _constant_names(self) -> tuple[str, ...]:
        return tuple(name for constants in self.constants.values() for name in constants)

    def _is_constant(self, name: str) -> bool:
        return name in self._constant_names()

    def claims(self, event_type: str) -> bool:
        """Whether events of this type may change rows; "" is that of opaque payloads."""
        if not event_type:
            return self.payload == "json"
        return not self._wanted or event_type in self._wanted

    def apply(self, db: Connection | RowWriter, event: StoredEvent, context: Context) -> None:
        type_ = event.type if event.envelope is not None else event_type(event, context, self.payload, self.type_path)
        if type_ is None or (self._wanted and type_ not in self._wanted):
            return
        table = self.tables[0]
        body = event.json()
        key = required(table.columns[0], self.key_path, body, event, context)
        if type_ in self.deletes:
            db.execute(table.delete_sql(), (key,))
            return
        plan = self._plans.get(type_, self._plan)
        row: list[SqlValue] = [key]
        missing, bit = 0, 1
        keeps, in_object = self.nulls == "keep", type(body) is dict
        # The one loop that each event of most projections goes through: a plain field is looked up right here.
        for name, path, column, is_text in plan.readers:
            value = body.get(name, MISSING) if name and in_object else path.find(body, event, context)
            if value is MISSING or (keeps and value is None):
                missing |= bit
            else:
                row.append(value if is_text and type(value) is str else to_sql(value, column, path.text))
            bit <<= 1
        sql = plan.statements.get(missing)
        if sql is None:
            sql = plan.statements[missing] = self._statement(plan, missing)
        db.execute(sql, (*row, *plan.constants))

    def apply_all(self, writer: RowWriter, run: OpenedRun, payloads: Sequence[bytes], first: int) -> None:
        """Apply the events of a run from its event `first` on. The same rows as by `apply`, for less."""
        shapes: dict[bytes, Shape | None] = self._shapes
        for index, payload in enumerate(payloads, first):
            found = type_and_body(payload) if run.schema_id == ENVELOPE_SCHEMA else None
            if found is not None:
                raw_type, _, raw_body = found
                shape = shapes.get(raw_type, _UNKNOWN)
                if shape is None:
                    continue
                if shape is not _UNKNOWN:
                    row = row_of(shape, decode_json(raw_body))
                    if row is not None:
                        writer.begin(shape.sql).append(row)
                        continue
            event = StoredEvent.of(payload, run.schema_id)
            self.apply(writer, event, Context(run, index, event))
            if found is not None:
                self._learn(found[0], event)

    def _learn(self, raw_type: bytes, event: StoredEvent) -> None:
        """Take an event's shape for that of the next ones of its type; None: nobody wants them."""
        if len(self._shapes) >= _SHAPES_MAX:
            self._shapes.clear()
        if self._wanted and event.type not in self._wanted:
            self._shapes[raw_type] = None
            return
        self._shapes.pop(raw_type, None)
        if event.type in self.deletes or REGISTRY.upcasts(event.type) or self.key_path.field == "":
            return
        plan, body = self._plans.get(event.type, self._plan), event.json()
        there = [reader for reader in plan.readers if body.get(reader[0]) is not None]
        absent = [reader for reader in plan.readers if body.get(reader[0]) is None]
        fields = [(self.key_path.field, self.tables[0].columns[0]), *((name, column) for name, _, column, _ in there)]
        names = (self.key, *(column.name for _, _, column, _ in there), *plan.constant_names)
        sql = self.tables[0].upsert_sql(names)
        without = [name for name, _, _, _ in absent]
        shape = make_shape(fields, without, sql, plan.constants, null_is_absent=self.nulls == "keep")
        if shape is not None:
            self._shapes[raw_type] = shape

    def _statement(self, plan: _Plan, missing: int) -> str:
        names = (column.name for number, (_, _, column, _) in enumerate(plan.readers) if not missing >> number & 1)
        return self.tables[0].upsert_sql((self.key, *names, *plan.constant_names))

    def description(self) -> str:
        return repr(self)


def event_type(event: StoredEvent, context: Context, payload: Payload, type_path: Path | None) -> str | None:
    """The type by which rules choose; None for an opaque payload that the template wasn't told to read."""
    if not event.opaque:
        return event.type
    if payload != "json":
        return None
    found: Any = "" if type_path is None else type_path.find(event.json(), event, context)
    return found if isinstance(found, str) else ""


def required(column: Column, path: Path, body: Any, event: StoredEvent, context: Context) -> SqlValue:
    """A key's value; InvalidEvent when it is missing or null."""
    value = path.find(body, event, context)
    if value is MISSING or value is None:
        raise InvalidEvent(f"column {column.name!r} is a key: expected a value at {path.text}, found none")
    return to_sql(value, column, path.text)
