"""The grammar: statements over the tables that are known, and the scripts in which they are said.

Nothing here is random to SQLite: no statement calls random() or a clock, so that the same statements in plain SQLite
must give the same. What changes the schema stands in `changes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from attrs import define, field

from sim.sql.changes import Changes
from sim.sql.script import CHANGES, PLACE, Script, Statement
from sim.sql.shapes import Known, Shape
from sim.sql.values import KEYS, RAW_TEXTS, draw_value

KINDS = (
    "insert", "upsert", "replace", "insert_select", "update", "update_from", "move", "delete", "with_delete", "many",
    "bulk", "select", "changes", "schema",
)  # fmt: skip
"""Of statements; a run weighs them."""
_CONFLICTS = ("", "", "", "", " OR IGNORE", " OR REPLACE", " OR FAIL", " OR ABORT", " OR ROLLBACK")
_BEGINS = ("BEGIN", "BEGIN", "begin deferred", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE TRANSACTION")
_ENDS = ("COMMIT", "COMMIT", "COMMIT", "END", "COMMIT TRANSACTION", "ROLLBACK")
BULK_ROWS = 40
RAW_KINDS = ("text", "any")
"""Of columns that get text which isn't UTF-8. Keys don't: they are told, and such text can't be."""
RAW_CHANCE = 0.2


@define
class Grammar:
    """One for all clients: `tables` is what they believe together."""

    random: Random
    weights: Mapping[str, int]
    raw: Random | None = None
    """Draws which texts aren't UTF-8; None: none are."""
    tables: dict[str, Known] = field(factory=dict)
    changes: Changes = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.changes = Changes(self.random, self.tables)

    def setup(self, shape: Shape) -> Script:
        """The transaction that makes a shape's tables."""

        def know() -> None:
            self.tables.setdefault(shape.name, Known.of(shape))

        made = tuple(Statement(sql) for sql in shape.create)
        return Script(
            statements=(Statement("BEGIN IMMEDIATE"), *made, Statement("COMMIT")), kind="setup", on_success=know
        )

    def draw(self) -> Script:
        """What a client says next."""
        draw = self.random.random()
        if draw < 0.45:
            return self._alone()
        return self.read() if draw < 0.6 else self._transaction()

    def read(self) -> Script:
        """Several reads in one snapshot, which says itself how much of the log it holds."""
        reads = [self._select() for _ in range(self.random.randrange(1, 4))]
        return Script(
            statements=(Statement("BEGIN"), Statement(PLACE), *reads, Statement(PLACE), Statement("COMMIT")),
            kind="read",
        )

    def _alone(self) -> Script:
        told: list[Callable[[], None]] = []
        statement = self._statement(told, alone=True)
        return Script(statements=(statement,), kind="auto", on_success=lambda: _tell(told))

    def _transaction(self) -> Script:
        random = self.random
        told: list[Callable[[], None]] = []
        by_savepoint = random.random() < 0.1
        statements = [Statement("SAVEPOINT outer_one" if by_savepoint else random.choice(_BEGINS))]
        open_savepoints: list[str] = []
        for _ in range(random.choice((1, 2, 2, 3, 5))):
            if random.random() < 0.3:
                statements.append(self._savepoint(open_savepoints, told))
            statements.append(self._statement(told))
        if by_savepoint:
            statements.append(Statement("RELEASE outer_one"))
        else:
            statements.append(Statement(random.choice(_ENDS)))
        return Script(statements=tuple(statements), kind="transaction", on_success=lambda: _tell(told))

    def _savepoint(self, open_ones: list[str], told: list[Callable[[], None]]) -> Statement:
        random = self.random
        if not open_ones or random.random() < 0.4:
            name = random.choice(("s1", "S2", "s3"))
            open_ones.append(name)
            return Statement(f"SAVEPOINT {name}")
        index = random.randrange(len(open_ones))
        name = open_ones[index]
        if name.lower() in [other.lower() for other in open_ones[index + 1 :]]:
            index = len(open_ones) - 1  # the newest of a name is meant
            name = open_ones[index]
        if random.random() < 0.6:
            del open_ones[index + 1 :]
            told.clear()
            return Statement(f"ROLLBACK TO {name}")
        del open_ones[index:]
        return Statement(f"RELEASE {name}")

    # Statements ------------------------------------------------------------------------------------------------

    def _statement(self, told: list[Callable[[], None]], *, alone: bool = False) -> Statement:
        random = self.random
        kind = random.choices(list(self.weights), list(self.weights.values()))[0]
        if kind == "schema":
            statement, know = self.changes.draw()
            told.append(know)
            return statement
        if kind == "changes":
            return self._insert() if alone else Statement(CHANGES)
        made: Statement = getattr(self, f"_{kind}")()
        return made

    def _table(self) -> Known:
        return self.random.choice(list(self.tables.values()))

    def _some(self, table: Known) -> list[str]:
        """Columns to write: usually all."""
        names = list(table.columns)
        if len(names) > 1 and self.random.random() < 0.3:
            names = self.random.sample(names, self.random.randrange(1, len(names) + 1))
        return names

    def _row(self, table: Known, names: list[str]) -> tuple[object, ...]:
        random = self.random
        return tuple(
            None if name == table.key and table.rowid and random.random() < 0.3
            else draw_value(random, table.columns[name])
            for name in names
        )  # fmt: skip

    def _given(self, kind: str, value: object) -> tuple[str, object]:
        """How a value is written in a statement, and the parameter: instead of some texts one that isn't UTF-8."""
        if self.raw is None or not isinstance(value, str) or kind not in RAW_KINDS or self.raw.random() >= RAW_CHANCE:
            return "?", value
        return "CAST(? AS TEXT)", self.raw.choice(RAW_TEXTS)

    def _returning(self, table: Known) -> str:
        if self.random.random() < 0.7:
            return ""
        told = self.random.choice(("*", table.key, f"{table.key} AS k, typeof({table.key})"))
        if self.raw is not None:  # a row that can't be told is an error, and SQLite keeps the change nevertheless
            told = f"hex({table.key}) AS k, typeof({table.key})"
        return f" RETURNING {told}"

    def _values(self, table: Known, head: str, tail: str = "", *, gives_rowid: bool = False) -> Statement:
        names = self._some(table)
        rows = [self._row(table, names) for _ in range(self.random.choice((1, 1, 1, 2, 4)))]
        kinds = [table.columns[name] for name in names]
        given = [[self._given(kind, value) for kind, value in zip(kinds, row, strict=True)] for row in rows]
        marks = ", ".join("(" + ", ".join(mark for mark, _ in row) + ")" for row in given)
        sql = f"{head} {table.name}({', '.join(names)}) VALUES {marks}{tail}{self._returning(table)}"
        values = tuple(value for row in given for _, value in row)
        return Statement(sql, values, gives_rowid=gives_rowid and table.rowid)

    def _insert(self) -> Statement:
        conflict = self.random.choice(_CONFLICTS)
        return self._values(self._table(), f"INSERT{conflict} INTO", gives_rowid=not conflict)

    def _replace(self) -> Statement:
        return self._values(self._table(), "REPLACE INTO")

    def _upsert(self) -> Statement:
        random = self.random
        able = [table for table in self.tables.values() if table.conflict]
        if not able:
            return self._insert()
        table = random.choice(able)
        names = [name for name in table.columns if name != table.key] or list(table.columns)
        name, target = random.choice(names), random.choice(table.conflict)
        action = random.choice(
            (
                "DO NOTHING",
                f"DO UPDATE SET {name} = excluded.{name}",
                f"DO UPDATE SET {name} = excluded.{name} WHERE {table.name}.{name} IS NOT excluded.{name}",
                f"DO UPDATE SET {table.key} = {table.name}.{table.key} + 1",
            )
        )
        return self._values(table, "INSERT INTO", f" ON CONFLICT({target}) {action}")

    def _insert_select(self) -> Statement:
        table, source = self._table(), self._table()
        names = self._some(table)
        theirs = [self.random.choice(list(source.columns)) for _ in names]
        conflict = self.random.choice(_CONFLICTS)
        return Statement(
            f"INSERT{conflict} INTO {table.name}({', '.join(names)}) SELECT {', '.join(theirs)} FROM {source.name} "
            f"ORDER BY {source.key}, {theirs[0]} LIMIT ?{self._returning(table)}",
            (self.random.randrange(5),),
        )

    def _where(self, table: Known) -> tuple[str, tuple[object, ...]]:
        random = self.random
        key = draw_value(random, table.columns.get(table.key, "key"))
        other = random.choice(list(table.columns))
        return random.choice(
            (
                (f"{table.key} = ?", (key,)),
                (f"{table.key} = ?", (key,)),
                (f"{table.key} BETWEEN ? AND ?", (random.randrange(KEYS), random.randrange(KEYS))),
                (f"{other} IS NULL", ()),
                (f"{table.key} IN (SELECT {table.key} FROM {table.name} ORDER BY 1 LIMIT 2)", ()),
                ("1", ()),
            )
        )

    def _update(self) -> Statement:
        table = self._table()
        name = self.random.choice(list(table.columns))
        where, values = self._where(table)
        conflict = self.random.choice(_CONFLICTS)
        change = self.random.choice(("{} = {}", "{} = {}", "{0} = coalesce({1}, {0})"))
        mark, value = self._given(table.columns[name], draw_value(self.random, table.columns[name]))
        change = change.format(name, mark)
        sql = f"UPDATE{conflict} {table.name} SET {change} WHERE {where}{self._returning(table)}"
        return Statement(sql, (value, *values))

    def _move(self) -> Statement:
        """A key, or the rowid itself, is another one."""
        table = self._table()
        name = "rowid" if table.rowid and self.random.random() < 0.4 else table.key
        where, values = self._where(table)
        conflict = self.random.choice(_CONFLICTS)
        return Statement(
            f"UPDATE{conflict} {table.name} SET {name} = {name} + ? WHERE {where}",
            (self.random.choice((1, 1, -1, 3)), *values),
        )

    def _update_from(self) -> Statement:
        table, source = self._table(), self._table()
        name, theirs = self.random.choice(list(table.columns)), self.random.choice(list(source.columns))
        return Statement(
            f"UPDATE {table.name} SET {name} = s.{theirs} FROM (SELECT * FROM {source.name} ORDER BY {source.key} "
            f"LIMIT 3) AS s WHERE s.{source.key} = {table.name}.{table.key}{self._returning(table)}"
        )

    def _delete(self) -> Statement:
        table = self._table()
        where, values = self._where(table)
        return Statement(f"DELETE FROM {table.name} WHERE {where}{self._returning(table)}", values)

    def _with_delete(self) -> Statement:
        table = self._table()
        keys = (self.random.randrange(1, KEYS), self.random.randrange(1, KEYS))
        return Statement(
            f"WITH gone(k) AS (VALUES (?), (?)) DELETE FROM {table.name} WHERE {table.key} IN (SELECT k FROM gone)",
            keys,
        )

    def _many(self) -> Statement:
        table = self._table()
        names = self._some(table)
        rows = tuple(self._row(table, names) for _ in range(self.random.randrange(1, 6)))
        conflict = self.random.choice(_CONFLICTS)
        marks = ", ".join("?" * len(names))
        return Statement(f"INSERT{conflict} INTO {table.name}({', '.join(names)}) VALUES ({marks})", rows, many=True)

    def _bulk(self) -> Statement:
        """More than one message of the log holds; or all of it away again."""
        table = self._table()
        if self.random.random() < 0.4:
            return Statement(f"DELETE FROM {table.name}")
        names = list(table.columns)
        chosen = ", ".join("i" if table.columns[name] == "key" else "printf('%d-%0*d', i, ?1, 7)" for name in names)
        rows, width = self.random.randrange(2, BULK_ROWS), self.random.choice((1, 30, 300))
        return Statement(
            f"WITH RECURSIVE n(i) AS (VALUES (?2 + 0) UNION ALL SELECT i + 1 FROM n WHERE i < ?3) "
            f"INSERT OR REPLACE INTO {table.name}({', '.join(names)}) SELECT {chosen} FROM n",
            (width, KEYS + 1, KEYS + rows),
        )

    def _select(self) -> Statement:
        random = self.random
        table = self._table()
        where, values = self._where(table)
        if random.random() < 0.2:
            other = self._table()
            return Statement(
                f"SELECT count(*), count(o.{other.key}) FROM {table.name} AS m LEFT JOIN {other.name} AS o ON "
                f"o.{other.key} = m.{table.key}"
            )
        what = random.choice(("*", "count(*)", f"{table.key}, typeof({table.key})", f"max({table.key})"))
        return Statement(f"SELECT {what} FROM {table.name} WHERE {where} ORDER BY 1 LIMIT 20", values)


def _tell(told: list[Callable[[], None]]) -> None:
    for know in told:
        know()
