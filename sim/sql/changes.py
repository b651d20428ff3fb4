"""Statements that change the schema: columns come, go and are renamed, indexes, triggers and tables as well."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import define

from sim.sql.script import Statement
from sim.sql.shapes import Known

Know = Callable[[], None]
"""Called once the change was acknowledged: clients know of it then."""

COLUMNS_MAX = 8
TABLES_MAX = 16
_DEFAULTS = ("", " DEFAULT 7", " TEXT DEFAULT 'é'", " INT CHECK (1)", " REFERENCES parent(id)")
_DEFERRED = ("grandchild",)
"""Tables that get no immediate foreign key: see `shapes`."""


def _nothing() -> None:
    """The schema that clients know is the same."""


@define
class Changes:
    """`tables` is what all clients believe."""

    random: Random
    tables: dict[str, Known]
    _number: int = 0

    def draw(self) -> tuple[Statement, Know]:
        """A change, and what to know after it."""
        able = [table for table in self.tables.values() if table.name not in ("seen", "trail")]
        kinds = (self._add_column, self._add_column, self._rename_column, self._drop_column, self._index, self._index,
                 self._drop_index, self._create, self._create_as, self._drop, self._rename, self._trigger)  # fmt: skip
        return self.random.choice(kinds)(
            self.random.choice(able) if able else self.random.choice(list(self.tables.values()))
        )

    def _new(self, prefix: str) -> str:
        self._number += 1
        return f"{prefix}{self._number}"

    def _add_column(self, table: Known) -> tuple[Statement, Know]:
        if len(table.columns) >= COLUMNS_MAX:
            return self._rename_column(table)
        name = self._new("c")
        tails = _DEFAULTS[:-1] if table.name in _DEFERRED else _DEFAULTS

        def know() -> None:
            table.columns[name] = "any"

        return Statement(f"ALTER TABLE {table.name} ADD COLUMN {name}{self.random.choice(tails)}"), know

    def _rename_column(self, table: Known) -> tuple[Statement, Know]:
        old, new = self.random.choice(list(table.columns)), self._new("r")

        def know() -> None:
            if old in table.columns:
                table.columns = {new if name == old else name: kind for name, kind in table.columns.items()}
                table.key = new if table.key == old else table.key
                table.conflict = tuple(target for target in table.conflict if old not in target)

        return Statement(f"ALTER TABLE {table.name} RENAME COLUMN {old} TO {new}"), know

    def _drop_column(self, table: Known) -> tuple[Statement, Know]:
        names = [name for name in table.columns if name != table.key and name[0] in "cr"]
        if not names:
            return self._add_column(table)
        name = self.random.choice(names)

        def know() -> None:
            table.columns.pop(name, None)

        return Statement(f"ALTER TABLE {table.name} DROP COLUMN {name}"), know

    def _index(self, table: Known) -> tuple[Statement, Know]:
        unique = self.random.choice(("", "", "UNIQUE "))
        column, name = self.random.choice(list(table.columns)), self._new("i")

        def know() -> None:
            table.indexes.append(name)

        return Statement(f"CREATE {unique}INDEX {name} ON {table.name}({column})"), know

    def _drop_index(self, table: Known) -> tuple[Statement, Know]:
        if not table.indexes:
            return self._index(table)
        name = self.random.choice(table.indexes)

        def know() -> None:
            if name in table.indexes:
                table.indexes.remove(name)

        return Statement(f"DROP INDEX {name}"), know

    def _create(self, table: Known) -> tuple[Statement, Know]:
        if len(self.tables) >= TABLES_MAX:
            return self._drop(table)
        name = self._new("made")
        rowid = self.random.random() < 0.7
        tail = "" if rowid else " WITHOUT ROWID"
        key = self.random.choice(
            ("INTEGER PRIMARY KEY", "INTEGER PRIMARY KEY AUTOINCREMENT" if rowid else "INT PRIMARY KEY")
        )

        def know() -> None:
            self.tables[name] = Known(name, {"id": "key", "x": "any", "y": "text"}, "id", ("id",), rowid)

        return Statement(f"CREATE TABLE {name} (id {key}, x, y TEXT DEFAULT 'y'){tail}"), know

    def _create_as(self, table: Known) -> tuple[Statement, Know]:
        if len(self.tables) >= TABLES_MAX:
            return self._drop(table)
        name, columns = self._new("copy"), dict(table.columns)

        def know() -> None:
            self.tables[name] = Known(name, columns, table.key, (), True)

        return Statement(f"CREATE TABLE {name} AS SELECT {', '.join(columns)} FROM {table.name} LIMIT 10"), know

    def _drop(self, table: Known) -> tuple[Statement, Know]:
        made = [one for one in self.tables.values() if one.name.startswith(("made", "copy"))]
        if not made:
            return self._create(table)
        chosen = self.random.choice(made) if self.random.random() < 0.9 else table

        def know() -> None:
            if len(self.tables) > 1:
                self.tables.pop(chosen.name, None)

        return Statement(f"DROP TABLE {chosen.name}"), know

    def _rename(self, table: Known) -> tuple[Statement, Know]:
        made = [one for one in self.tables.values() if one.name.startswith(("made", "copy"))]
        if not made:
            return self._create_as(table)
        chosen, new = self.random.choice(made), self._new("made")
        old = chosen.name

        def know() -> None:
            if self.tables.pop(old, None) is not None:
                chosen.name = new
                self.tables[new] = chosen

        return Statement(f"ALTER TABLE {old} RENAME TO {new}"), know

    def _trigger(self, table: Known) -> tuple[Statement, Know]:
        if "trail" not in self.tables:
            return self._index(table)
        event = self.random.choice(("INSERT", "UPDATE", "DELETE"))
        row = "OLD" if event == "DELETE" else "NEW"
        name = self._new("t")
        return (
            Statement(
                f"CREATE TRIGGER {name} AFTER {event} ON {table.name} BEGIN INSERT INTO trail(what, a) VALUES "
                f"('{name}', {row}.{table.key}); END"
            ),
            _nothing,
        )
