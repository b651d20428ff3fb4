"""Tables by declaration: which events map, set, count and delete. No code runs for an event.

    wards = (
        vdb.TableProjection("wards", WARDS, streams=("patient-*",))
        .map(PatientAdmitted, patient="patient_id", ward="ward", since="@time")
        .set(PatientDischarged, status="left", key={"patient": "patient_id"})
        .increment(PatientMoved, moves=1, key={"patient": "patient_id"})
        .delete(PatientRemoved, patient="patient_id")
    )

Rules
- A rule names the row by the table's key: the path of each key column, its own name unless the rule says otherwise.
- `map` takes columns from paths into the event (`vdb.projections.paths`), `set` gives them fixed values, `increment`
  adds a number, or the one at a path, to what is there (nothing counts as 0). Each makes the row where there is none.
- A path that isn't in the event leaves its column. So does null, unless `nulls` is "clear".
- A key that is missing or null is an error. Rules of one event apply in the order in which they were given.
- Rules only write: rows are gathered, and written many at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from attrs import define, field, frozen

from vdb.errors import ConfigError, InvalidEvent
from vdb.ports import Connection
from vdb.projections.config import BATCH_EVENTS, ErrorPolicy, ProjectionConfig
from vdb.projections.functions import EventSpec, type_name
from vdb.projections.handler import Context, StoredEvent
from vdb.projections.latest import required
from vdb.projections.paths import MISSING, Path, as_path
from vdb.projections.tables import Column, ColumnType, Table
from vdb.projections.values import SqlValue, to_sql
from vdb.types import TenantId

Nulls = Literal["keep", "clear"]
_COUNTABLE = (ColumnType.INTEGER, ColumnType.REAL)


@frozen(kw_only=True)
class Rule:
    """What one event type does to its row."""

    kind: Literal["map", "set", "increment", "delete"]
    key: tuple[tuple[Column, Path], ...]
    """In the order of the table's key."""
    paths: tuple[tuple[Column, Path], ...] = ()
    values: tuple[tuple[Column, SqlValue], ...] = ()


@define
class DeclaredTable:
    """The template. Rules are added until the projection is opened."""

    table: Table
    nulls: Nulls = "keep"
    rules: dict[str, list[Rule]] = field(factory=dict)
    only_writes = True
    """See `vdb.projections.apply`."""

    @property
    def tables(self) -> tuple[Table, ...]:
        return (self.table,)

    def claims(self, event_type: str) -> bool:
        return event_type in self.rules

    def apply(self, db: Connection, event: StoredEvent, context: Context) -> None:
        for rule in self.rules.get(event.type, ()):
            body = event.json()
            row = {column.name: required(column, path, body, event, context) for column, path in rule.key}
            if rule.kind == "delete":
                db.execute(self.table.delete_sql(), tuple(row.values()))
                continue
            for column, path in rule.paths:
                value = path.find(body, event, context)
                if value is not MISSING and (value is not None or self.nulls == "clear"):
                    row[column.name] = to_sql(value, column, path.text)
            row.update((column.name, value) for column, value in rule.values)
            if rule.kind == "increment":
                _check_numbers(row, self.table)
                db.execute(self.table.increment_sql(tuple(row)), tuple(row.values()))
            else:
                db.execute(self.table.upsert_sql(tuple(row)), tuple(row.values()))

    def description(self) -> str:
        return f"declared: nulls {self.nulls}; {self.rules!r}"


class TableProjection:
    """A projection of one declared table; see the module's docstring. The rest is as with `vdb.Projection`."""

    def __init__(
        self,
        name: str,
        table: Table,
        *,
        streams: Iterable[str],
        version: int = 1,
        tenant: int | None = None,
        nulls: Nulls = "keep",
        batch_events: int = BATCH_EVENTS,
        batch_seconds: float = 0.0,
        on_error: ErrorPolicy | str = ErrorPolicy.STOP,
        inline: bool = False,
        check: str = "",
        hold: bool = False,
    ) -> None:
        self._template = DeclaredTable(table, nulls)
        self._config = ProjectionConfig(
            name=name,
            version=version,
            tenant=None if tenant is None else TenantId(tenant),
            streams=streams,
            template=self._template,
            batch_events=batch_events,
            batch_seconds=batch_seconds,
            on_error=on_error,
            inline=inline,
            check=check,
            hold=hold,
        )

    def map(self, event: EventSpec, /, *, key: Mapping[str, str] | None = None, **columns: str) -> TableProjection:
        """Columns from paths; key columns may stand among them."""
        table = self._template.table
        keys = {**{name: path for name, path in columns.items() if name in table.key}, **(key or {})}
        paths = tuple((_column(table, name), as_path(path)) for name, path in columns.items() if name not in table.key)
        return self._add(event, Rule(kind="map", key=_key(table, keys), paths=paths))

    def set(self, event: EventSpec, /, *, key: Mapping[str, str] | None = None, **columns: SqlValue) -> TableProjection:
        """Columns to fixed values."""
        table = self._template.table
        values = tuple((_other(table, name), value) for name, value in columns.items())
        return self._add(event, Rule(kind="set", key=_key(table, key or {}), values=values))

    def increment(
        self, event: EventSpec, /, *, key: Mapping[str, str] | None = None, **columns: int | float | str
    ) -> TableProjection:
        """Add to columns a number, or the one at a path."""
        table = self._template.table
        for name in columns:
            if _other(table, name).type not in _COUNTABLE:
                raise ConfigError(
                    f"table {table.name!r}: {name!r} isn't an integer or real column: it can't be counted"
                )
        found = {_column(table, name): amount for name, amount in columns.items()}
        return self._add(
            event,
            Rule(
                kind="increment",
                key=_key(table, key or {}),
                paths=tuple((column, as_path(path)) for column, path in found.items() if isinstance(path, str)),
                values=tuple((column, amount) for column, amount in found.items() if not isinstance(amount, str)),
            ),
        )

    def delete(self, event: EventSpec, /, **key: str) -> TableProjection:
        """Remove the row, if it is there."""
        return self._add(event, Rule(kind="delete", key=_key(self._template.table, key)))

    def config(self) -> ProjectionConfig:
        """What a node is given; ConfigError when no event does anything."""
        if not self._template.rules:
            raise ConfigError(f"projection {self._config.name!r} has no rule: expected map, set, increment or delete")
        return self._config

    def _add(self, event: EventSpec, rule: Rule) -> TableProjection:
        self._template.rules.setdefault(type_name(event), []).append(rule)
        return self


def _key(table: Table, paths: Mapping[str, str]) -> tuple[tuple[Column, Path], ...]:
    for name in paths:
        if name not in table.key:
            raise ConfigError(f"table {table.name!r}: {name!r} isn't in its key ({', '.join(table.key)})")
    return tuple((_column(table, name), as_path(paths.get(name, name))) for name in table.key)


def _column(table: Table, name: str) -> Column:
    for column in table.columns:
        if column.name == name:
            return column
    raise ConfigError(f"table {table.name!r} has no column {name!r}; its columns: {', '.join(table.column_names)}")


def _other(table: Table, name: str) -> Column:
    """A column that isn't in the key."""
    if name in table.key:
        raise ConfigError(f"table {table.name!r}: {name!r} is in its key: say where it is found with key={{...}}")
    return _column(table, name)


def _check_numbers(row: Mapping[str, Any], table: Table) -> None:
    for name, value in row.items():
        if name not in table.key and not isinstance(value, int | float):
            raise InvalidEvent(f"column {name!r} is counted: expected a number to add, found none")
