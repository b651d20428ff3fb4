"""What one should know of migrations before they are applied.

Errors are found by SQLite and by VerityDB's own rules, in a database in memory: what fails there fails anywhere.
Warnings are about what works and may not be meant. The log has each row that a statement leaves, so random() and the
time of day as defaults are nothing to warn of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum

from attrs import frozen

from vdb.errors import MigrationError, SqlRefused
from vdb.projections.store import SqliteError
from vdb.sql.diff import Schema, SchemaObject, read_schema
from vdb.sql.keywords import first_keyword
from vdb.sql.migrations import Migration, load_migrations
from vdb.sql.registry import SchemaRegistry
from vdb.sql.rehearsal import Rehearsal, rehearsal
from vdb.sql.remarks import remarks
from vdb.sql.subjects import Subjects
from vdb.sql.tables import quote


class Severity(Enum):
    ERROR = "error"
    WARNING = "warning"


@frozen(kw_only=True)
class Finding:
    """Something that is wrong, or worth knowing."""

    severity: Severity
    message: str
    file: str = ""
    line: int = 0
    """In the file, from 1; 0: the whole file, or none."""

    def text(self) -> str:
        """One line."""
        place = f"{self.file}, line {self.line}: " if self.line else f"{self.file}: " if self.file else ""
        return f"{self.severity.value}: {place}{self.message}"


def lint(files: Mapping[str, str], *, phi: bool = True) -> list[Finding]:
    """Findings about a folder's files, errors first. `phi`: the database holds data of patients."""
    try:
        migrations = load_migrations(files)
    except MigrationError as error:
        return [_error(str(error))]
    found = [finding for migration in migrations for finding in _statements(migration)]
    with rehearsal() as database:
        try:
            SchemaRegistry(migrations).rehearse(database)
        except MigrationError as error:
            return [_error(str(error)), *found]
        schema = read_schema(database.db)
        found += _uses(database, schema)
        found += _tables(schema, Subjects(database.db).columns(), phi=phi)
    return sorted(found, key=lambda finding: finding.severity is Severity.WARNING)


def _error(message: str) -> Finding:
    return Finding(severity=Severity.ERROR, message=message)


def _warning(message: str, *, file: str = "", line: int = 0) -> Finding:
    return Finding(severity=Severity.WARNING, message=message, file=file, line=line)


# What statements say -----------------------------------------------------------------------------------------------


def _statements(migration: Migration) -> Iterator[Finding]:
    for line, statement in migration.statements():
        for message in remarks(statement):
            yield _warning(message, file=migration.name, line=line)


# What the schema says ----------------------------------------------------------------------------------------------


def _uses(database: Rehearsal, schema: Schema) -> Iterator[Finding]:
    """Views and triggers that can't be used: SQLite looks into them only when they are."""
    for (kind, _), found in schema.items():
        if kind == "view":
            yield from _use(database, f"SELECT * FROM main.{quote(found.name)}", f"view {found.name} can't be read")
    seen: dict[str, None] = {}
    for (kind, _), found in schema.items():
        if kind == "trigger" and found.table not in seen:
            seen[found.table] = None
            yield from _fire(database, schema, found)


def _fire(database: Rehearsal, schema: Schema, trigger: SchemaObject) -> Iterator[Finding]:
    name = f"main.{quote(trigger.table)}"
    owner = schema.get(("table", trigger.table.lower()))
    column = next((column.name for column in owner.columns if not column.generated), None) if owner else None
    statements = [f"INSERT INTO {name} DEFAULT VALUES", f"DELETE FROM {name}"]
    statements += [f"UPDATE {name} SET {quote(column)} = NULL"] if column is not None else []
    for statement in statements if owner is not None else ():
        verb = first_keyword(statement)
        found = list(_use(database, statement, f"a trigger on {trigger.table} fails at {verb}"))
        yield from found


def _use(database: Rehearsal, sql: str, what: str) -> Iterator[Finding]:
    try:
        database.classifier.verdict(sql)
    except (SqliteError, SqlRefused) as error:
        yield _error(f"{what}: {error}")


_NUMERIC_NAMES = ("STRING", "STR", "UUID", "JSON", "ENUM")
"""Declared types that SQLite takes for numbers, which their names don't say."""


def _tables(schema: Schema, subjects: Mapping[str, str], *, phi: bool) -> Iterator[Finding]:
    for (kind, key), table in schema.items():
        if kind != "table":
            continue
        if phi and key not in subjects:
            yield _warning(
                f"table {table.name} has no subject column: its rows fall under the database's key, and can't be "
                f"erased per subject; say `-- vdb: subject {table.name}.COLUMN` if a column names the subject"
            )
        if not any(column.key for column in table.columns):
            yield _warning(f"table {table.name} has no primary key: its history is found by rowid alone")
        yield from _types(table)


def _types(table: SchemaObject) -> Sequence[Finding]:
    return [
        _warning(
            f"column {table.name}.{column.name} has type {column.type}, which SQLite takes for a number: "
            "'007' becomes 7; write TEXT"
        )
        for column in table.columns
        if column.type.partition("(")[0].strip().upper() in _NUMERIC_NAMES
    ]
