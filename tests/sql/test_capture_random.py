"""Random schemas and programs: what was captured, replayed, gives what plain SQLite has, and changes nothing of it."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from attrs import define
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAMES = ("t", "Order", 'we "ird', "tëst ünï", "t2")
COLUMNS = ("a", "B", "x y", 'q"', "select")
ORDINARY = ("NULL", "NULL", "0", "1", "2", "3", "4", "'a'", "'A'", "'b'", "'1'", "1.5", "X'00'")
RARE = ("4611686018427387904", "-9223372036854775808", "9e999", "-9e999", "CAST(X'ff61' AS TEXT)", "1.0", "zeroblob(3)")
POLICIES = ("REPLACE", "REPLACE", "REPLACE", "IGNORE", "FAIL", "ABORT", "ROLLBACK")
ACTIONS = ("CASCADE", "CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION", "RESTRICT")
SAVEPOINTS = ("s1", "s2", "s3")


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@define
class Shape:
    """A table as the program thinks that it is."""

    name: str
    columns: list[str]
    rowid: bool = True
    integer_key: bool = False
    """The first column is the rowid. It is given integers alone: SQLite keeps the rows before one that it isn't."""


class Program:
    """Draws statements; `random` decides."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.tables: list[Shape] = []
        self.triggers = 0
        self.open: list[str] = []
        self.serial = 0
        self.recursive = False

    def pick(self, options: Any) -> Any:
        return options[self.random.randrange(len(options))]

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def schema(self) -> list[str]:
        names = list(NAMES[: self.random.randrange(1, 4)])
        found: list[str] = []
        statements = [statement for name in names for statement in self.table(name, names)]
        for _ in range(self.random.randrange(4) if self.chance(60) else 0):
            statements.append(self.trigger())
        self.recursive = self.triggers == 0 and self.chance(30)
        if self.recursive:
            found.append("PRAGMA recursive_triggers = ON")
        return found + statements

    def first_rows(self) -> list[str]:
        found = []
        for shape in self.tables * 5:
            names = ", ".join(map(quote, shape.columns))
            found.append(f"INSERT OR IGNORE INTO {quote(shape.name)} ({names}) VALUES {self.row(shape)}")
        return [*found, "COMMIT"]

    def table(self, name: str, names: list[str]) -> list[str]:
        kind = self.pick(("plain", "plain", "key", "key", "auto", "without", "strict"))
        columns = list(COLUMNS[: self.random.randrange(2, 5)])
        definitions: list[str] = []
        first = columns[0]
        types: tuple[str, ...] = ("", "", "INTEGER", "TEXT", "REAL", "NUMERIC", "BLOB")
        if kind == "strict":
            types = ("ANY",)
        for column in columns:
            text = f"{quote(column)} {self.pick(types)}"
            if column == first and kind in ("key", "auto"):
                text = f"{quote(column)} INTEGER PRIMARY KEY {'AUTOINCREMENT' if kind == 'auto' else ''}"
            elif column == first and kind == "without":
                text += self.pick((" PRIMARY KEY", " COLLATE NOCASE PRIMARY KEY"))
            elif column == first:
                text += self.pick((" UNIQUE", " PRIMARY KEY"))
            else:
                text += self.constraint(name, names)
            definitions.append(text)
        if self.chance(25):
            storage = self.pick(("VIRTUAL", "STORED"))
            kind_of = "ANY" if kind == "strict" else ""
            key = "UNIQUE" if self.chance(40) else ""
            definitions.append(f"gen {kind_of} {key} AS ({quote(self.pick(columns))} || 'g') {storage}")
        shape = Shape(
            name=name, columns=columns, rowid=kind != "without", integer_key="INTEGER PRIMARY KEY" in definitions[0]
        )
        self.tables.append(shape)
        options = {"without": " WITHOUT ROWID", "strict": " STRICT"}.get(kind, "")
        found = [f"CREATE TABLE {quote(name)} ({', '.join(definitions)}){options}"]
        if self.chance(40):
            found.append(self.index(shape))
        return found

    def constraint(self, name: str, names: list[str]) -> str:
        which = self.random.randrange(10)
        if which < 2:
            return f" UNIQUE{f' ON CONFLICT {self.pick(POLICIES)}' if self.chance(30) else ''}"
        if which == 2:
            return " NOT NULL DEFAULT 7"
        if which == 3:
            return " COLLATE NOCASE UNIQUE"
        if which < 7:
            target = self.pick(names)
            parent = quote(COLUMNS[0])
            deferred = " DEFERRABLE INITIALLY DEFERRED" if self.chance(30) else ""
            actions = f"ON DELETE {self.pick(ACTIONS)} ON UPDATE {self.pick(ACTIONS)}"
            return f" DEFAULT {self.pick(('1', 'NULL'))} REFERENCES {quote(target)}({parent}) {actions}{deferred}"
        return ""

    def index(self, shape: Shape) -> str:
        self.serial += 1
        first, second = self.pick(shape.columns), self.pick(shape.columns)
        terms = self.pick(
            (
                quote(first),
                f"{quote(first)}, {quote(second)} DESC",
                f"{quote(first)} COLLATE NOCASE",
                f"lower({quote(first)})",
                f"coalesce({quote(first)}, 0) || {quote(second)} ASC",
            )
        )
        where = f" WHERE {quote(second)} > 1" if self.chance(25) else ""
        unique = self.pick(("UNIQUE ", "UNIQUE ", ""))
        return f"CREATE {unique}INDEX i{self.serial} ON {quote(shape.name)} ({terms}){where}"

    def trigger(self) -> str:
        self.triggers += 1
        shape, event = self.pick(self.tables), self.pick(("INSERT", "UPDATE", "DELETE"))
        when = self.pick(("BEFORE", "AFTER", "AFTER"))
        old = "OLD" if event == "DELETE" else "NEW"
        body = "; ".join(self.in_trigger(shape, old) for _ in range(self.random.randrange(1, 3)))
        return f"CREATE TRIGGER r{self.triggers} {when} {event} ON {quote(shape.name)} BEGIN {body}; END"

    def in_trigger(self, shape: Shape, old: str) -> str:
        other = shape if self.chance(50) else self.pick(self.tables)
        value = f"{old}.{quote(self.pick(shape.columns))}" if self.chance(60) else self.value()
        key = quote(self.pick(other.columns))
        which = self.random.randrange(3)
        if which == 0:
            return f"DELETE FROM {quote(other.name)} WHERE {key} = {value}"
        if which == 1:
            return f"UPDATE {self.policy()} {quote(other.name)} SET {self.assignment(other)} WHERE {key} = {value}"
        target = other.columns[-1]
        return f"INSERT {self.policy()} INTO {quote(other.name)} ({quote(target)}) VALUES ({value})"

    def policy(self) -> str:
        return f"OR {self.pick(POLICIES)}" if self.chance(55) else ""

    def value(self) -> str:
        return str(self.pick(RARE) if self.chance(8) else self.pick(ORDINARY))

    def value_of(self, shape: Shape, column: str) -> str:
        if shape.integer_key and column == shape.columns[0]:
            return str(self.pick(("NULL", "1", "2", "3", "4", "5", "-7")))
        return self.value()

    def row(self, shape: Shape) -> str:
        return f"({', '.join(self.value_of(shape, column) for column in shape.columns)})"

    def assignment(self, shape: Shape) -> str:
        first, column = quote(shape.columns[0]), self.pick(shape.columns)
        if shape.integer_key and column == shape.columns[0]:
            return f"{first} = {self.pick((f'{first} + 1', f'{first} + 10', '3', '2'))}"
        value = self.pick((self.value(), quote(self.pick(shape.columns)), f"{first} + 1"))
        return f"{quote(column)} = {value}"

    def condition(self, shape: Shape) -> str:
        column = quote(self.pick(shape.columns))
        return str(
            self.pick(
                (f"{column} = {self.value()}", f"{column} IS NULL", f"{column} > 1", f"{column} <> {self.value()}", "1")
            )
        )

    def statement(self) -> str:
        which = self.random.randrange(100)
        if which < 76:
            return self.rows(self.pick(self.tables))
        if which < 86:
            return self.control()
        if which < 89:
            return "COMMIT"
        return self.change()

    def control(self) -> str:
        name = self.pick(SAVEPOINTS)
        return str(
            self.pick((f"SAVEPOINT {name}", f"SAVEPOINT {name}", f"RELEASE {name}", f"ROLLBACK TO {name}", "ROLLBACK"))
        )

    def rows(self, shape: Shape) -> str:
        which = self.random.randrange(8)
        table, columns = quote(shape.name), shape.columns
        names = ", ".join(map(quote, columns))
        returning = f" RETURNING {quote(self.pick(columns))}" if self.chance(15) else ""
        policy = self.policy()  # NOT INDEXED below: rows are visited in one order, whatever triggers there are
        sets = self.assignment(shape)
        if which < 3:
            rows = ", ".join(f"{self.row(shape)}" for _ in range(self.random.randrange(1, 4)))
            return f"INSERT {policy} INTO {table} ({names}) VALUES {rows}{returning}"
        if which == 3:
            return f"REPLACE INTO {table} ({names}) VALUES {self.row(shape)}{returning}"
        if which == 4:
            target = f"({quote(columns[0])})" if self.chance(50) else ""
            update = f"UPDATE SET {sets}" if self.chance(70) else "NOTHING"
            return f"INSERT INTO {table} ({names}) VALUES {self.row(shape)} ON CONFLICT {target} DO {update}{returning}"
        if which == 5:
            other = self.pick(self.tables)
            terms = [quote(self.pick(other.columns)) for _ in columns]
            if shape.integer_key:
                terms[0] = self.pick(("NULL", f"length({quote(other.columns[0])})"))
            source = f"SELECT {', '.join(terms)} FROM {quote(other.name)}"
            return f"INSERT {policy} INTO {table} ({names}) {source} ORDER BY 1, 2 LIMIT 6"
        if which == 6 and shape.rowid:
            verb, number = self.pick((f"INSERT {policy}", "REPLACE")), self.random.randrange(1, 6)
            return f"{verb} INTO {table} (rowid, {quote(columns[-1])}) VALUES ({number}, {self.value()})"
        if which == 7 and shape.rowid:
            target = self.pick(("rowid + 1", "rowid + 10", "3"))
            return f"UPDATE {policy} {table} NOT INDEXED SET rowid = {target} WHERE {self.condition(shape)}"
        if which == 8:
            return f"DELETE FROM {table} WHERE {self.condition(shape)}{returning}"
        if which == 9:
            other = self.pick(self.tables)
            source = f"WITH w AS (SELECT {quote(other.columns[0])} AS v FROM {quote(other.name)} LIMIT 2)"
            return f"{source} UPDATE {policy} {table} NOT INDEXED SET {sets} FROM w WHERE {quote(columns[0])} = w.v"
        return f"UPDATE {policy} {table} NOT INDEXED SET {sets} WHERE {self.condition(shape)}{returning}"

    def change(self) -> str:
        """A change of the schema; the program keeps away from what it may have broken by it."""
        self.serial += 1
        shape = self.pick(self.tables)
        which = self.random.randrange(8)
        if which == 0:
            return f"ALTER TABLE {quote(shape.name)} ADD COLUMN added{self.serial} DEFAULT {self.random.randrange(3)}"
        if which == 1:
            return f"CREATE TABLE made{self.serial} AS SELECT * FROM {quote(shape.name)}"
        if which == 2:
            return self.index(shape)
        if which == 3:
            last = shape.columns[-1]
            return f"ALTER TABLE {quote(shape.name)} RENAME COLUMN {quote(last)} TO {quote(last.swapcase())}"
        if which == 4:
            return f"DROP INDEX IF EXISTS i{self.random.randrange(1, 6)}"
        if which == 5 and len(self.tables) > 1 and self.chance(40):
            return f"DROP TABLE {quote(shape.name)}"
        if which == 6 and self.chance(30) and not self.recursive:
            return self.trigger()
        return f"UPDATE sqlite_sequence SET seq = seq + {self.random.randrange(3)}"


def run_program(twins: Any, random: Random, count: int) -> int:
    """One random program; how many transactions were checked."""
    program = Program(random)
    twins.run(f"PRAGMA foreign_keys = {program.pick(('ON', 'ON', 'OFF'))}")
    for sql in program.schema():
        twins.run(sql)
    twins.check()
    for sql in program.first_rows():
        twins.run(sql)
    transactions = 0
    for _ in range(count):
        sql = program.statement()
        twins.run(sql)
        transactions += sql == "COMMIT"
    twins.run("COMMIT")
    return transactions + 1


@pytest.fixture
def twins_type(twins: Any) -> type[Any]:
    return type(twins)


@given(random=st.randoms(use_true_random=False), count=st.integers(3, 40))
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_random_programs(twins_type: type[Any], random: Random, count: int) -> None:
    run_one(twins_type, random, count)


@pytest.mark.parametrize("seed", range(8))
def test_programs_of_seeds(twins_type: type[Any], seed: int) -> None:
    run_one(twins_type, Random(seed), 40)


def run_one(twins_type: type[Any], random: Random, count: int) -> None:
    twins = twins_type()
    try:
        run_program(twins, random, count)
    except twins.incomparable:
        pass
    finally:
        twins.close()
