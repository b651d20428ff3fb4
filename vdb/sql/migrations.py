"""Migrations: numbered SQL files that make a database's schema, each applied once, in order, as one transaction.

    0001_patients.sql, 0002_appointments.sql, ...       four digits, a name; numbers may have gaps

A file may say more in comments that stand on a line of their own:

    -- vdb: subject patients.id       the column of a table that says whose data a row is
    -- vdb: no subject patients       there is none any more
    -- vdb: foreign keys off          the file builds tables anew: keys are checked once, at its end

Declaring another subject column says whose rows are that others wrote: its author must be one who may read them all.

What was applied is in `vdb_migrations`, with a checksum of each file. A file that changed after it was applied, that is
missing, or that comes before one that was applied, is an error that names it: nothing is applied then.

A migration takes the database's write lock before it looks at what was applied, so two that start at once don't
get in each other's way. The files are read by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from hashlib import sha256
from typing import Any, Protocol

from attrs import field, frozen

from vdb.errors import AccessDenied, MigrationError, SqlRefused
from vdb.marks import mark
from vdb.projections.store import SeveralStatements, SqliteError
from vdb.sql.keywords import first_keyword, parse_transaction, split_script, tokens
from vdb.sql.names import MIGRATIONS_TABLE, SUBJECTS_TABLE
from vdb.sql.subjects import CREATE_SUBJECTS, GONE
from vdb.sql.tables import fold, quote

SUFFIX = ".sql"

_NAME = re.compile(r"(\d{4})_[A-Za-z0-9][A-Za-z0-9_.-]*\.sql")
_DIRECTIVE = re.compile(r"^[ \t]*--[ \t]*vdb:(.*)$", re.MULTILINE)
_NAMED = r"""("[^"]+"|\[[^\]]+\]|`[^`]+`|\w+)"""
_SUBJECT = re.compile(rf"subject\s+{_NAMED}\s*\.\s*{_NAMED}")
_NO_SUBJECT = re.compile(rf"no\s+subject\s+{_NAMED}")
_KEYS_OFF = re.compile(r"foreign\s+keys\s+off")

CREATE_MIGRATIONS = (
    f"CREATE TABLE IF NOT EXISTS main.{MIGRATIONS_TABLE} "
    "(number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL) STRICT"
)


@frozen(kw_only=True)
class Subject:
    """A table's subject column; None: it has none."""

    table: str
    column: str | None


@frozen(kw_only=True)
class Migration:
    """One file."""

    number: int
    name: str
    """Of the file."""
    sql: str = field(repr=False)
    checksum: str
    """SHA-256 of the text as UTF-8, in hex; line ends count as newlines, as a checkout may change them."""
    subjects: tuple[Subject, ...] = ()
    foreign_keys_off: bool = False

    def statements(self) -> Iterator[tuple[int, str]]:
        """Each statement with the number of its first line."""
        position = 0
        for statement in split_script(self.sql):
            start = self.sql.index(statement, position)
            position = start + len(statement)
            first = next(tokens(statement))
            yield self.sql.count("\n", 0, start + first.end - len(first.text)) + 1, statement


@frozen(kw_only=True)
class Applied:
    """A migration that a database has."""

    number: int
    name: str
    checksum: str


class MigrationState(Enum):
    APPLIED = "applied"
    PENDING = "pending"
    CHANGED = "changed"
    """The file isn't what was applied."""
    MISSING = "missing"
    """It was applied, and there is no file."""
    LATE = "late"
    """It wasn't applied, and one with a higher number was."""


@frozen(kw_only=True)
class MigrationStatus:
    number: int
    name: str
    state: MigrationState


class Executes(Protocol):
    async def execute(self, sql: str, parameters: Any = ...) -> Any:
        """Run a statement; the result has `fetchall()`."""


class MigrationSession(Executes, Protocol):
    """What migrations need of a session: `vdb.sql.session.SqlSession` has it."""

    @property
    def in_transaction(self) -> bool: ...

    @property
    def classifier(self) -> Trusting: ...


Admit = Callable[[str], Awaitable[str]]
"""What runs for a statement of a migration. AccessDenied, where its author may not do what it does."""


async def admit_all(sql: str) -> str:
    """Nobody has a say: each statement runs as it is."""
    return sql


class Trusting(Protocol):
    def trusting(self) -> AbstractContextManager[None]:
        """Within, statements may write VerityDB's own tables."""


# Reading files -----------------------------------------------------------------------------------------------------


def load_migrations(files: Mapping[str, str]) -> tuple[Migration, ...]:
    """Migrations from the texts of a folder's files by their names, in order. What doesn't end in .sql is no concern.

    MigrationError for a name that is no migration's, a number that occurs twice, a comment that says something else
    than it may, or a statement that can't be within a migration.
    """
    found: dict[int, Migration] = {}
    for name in sorted(name for name in files if name.endswith(SUFFIX)):
        migration = _load(name, files[name])
        if migration.number in found:
            raise MigrationError(f"{found[migration.number].name} and {name} have the same number")
        found[migration.number] = migration
    return tuple(found[number] for number in sorted(found))


def _load(name: str, text: str) -> Migration:
    match = _NAME.fullmatch(name)
    if match is None:
        raise MigrationError(f"{name}: a migration is named NNNN_name.sql, four digits and a name")
    sql = text.removeprefix("\ufeff").replace("\r\n", "\n")
    subjects: list[Subject] = []
    keys_off = False
    for directive in _DIRECTIVE.finditer(sql):
        said = directive.group(1).strip()
        if subject := _SUBJECT.fullmatch(said):
            subjects.append(Subject(table=_unquoted(subject.group(1)), column=_unquoted(subject.group(2))))
        elif subject := _NO_SUBJECT.fullmatch(said):
            subjects.append(Subject(table=_unquoted(subject.group(1)), column=None))
        elif _KEYS_OFF.fullmatch(said):
            keys_off = True
        else:
            line = sql.count("\n", 0, directive.start()) + 1
            raise MigrationError(
                f"{name}, line {line}: expected `-- vdb: subject TABLE.COLUMN`, `-- vdb: no subject TABLE` or "
                f"`-- vdb: foreign keys off`; found {said!r}"
            )
    checksum = sha256(sql.encode()).hexdigest()
    migration = Migration(
        number=int(match.group(1)),
        name=name,
        sql=sql,
        checksum=checksum,
        subjects=tuple(subjects),
        foreign_keys_off=keys_off,
    )
    for line, statement in migration.statements():
        _check_statement(f"{name}, line {line}", statement)
    return migration


def _unquoted(name: str) -> str:
    return next(tokens(name)).name


def _check_statement(place: str, statement: str) -> None:
    keyword = first_keyword(statement)
    if keyword in ("BEGIN", "COMMIT", "END", "ROLLBACK") or parse_transaction(statement) is not None:
        raise MigrationError(f"{place}: {keyword} is refused: a migration is one transaction by itself")
    if keyword == "PRAGMA" and any(token.name.lower() == "foreign_keys" for token in tokens(statement)):
        raise MigrationError(
            f"{place}: PRAGMA foreign_keys does nothing within a transaction; "
            "write `-- vdb: foreign keys off` on a line of its own"
        )


# What is to be done ------------------------------------------------------------------------------------------------


def migration_status(applied: Iterable[Applied], found: Iterable[Migration]) -> list[MigrationStatus]:
    """Each migration that was applied or has a file, by number."""
    had = {migration.number: migration for migration in applied}
    files = {migration.number: migration for migration in found}
    last = max(had, default=-1)
    result = []
    for number in sorted({**had, **files}):
        if number not in files:
            state = MigrationState.MISSING
        elif number not in had:
            state = MigrationState.PENDING if number > last else MigrationState.LATE
        else:
            same = had[number].checksum == files[number].checksum and had[number].name == files[number].name
            state = MigrationState.APPLIED if same else MigrationState.CHANGED
        name = files[number].name if number in files else had[number].name
        result.append(MigrationStatus(number=number, name=name, state=state))
    return result


def plan(applied: Sequence[Applied], found: Sequence[Migration]) -> list[Migration]:
    """The migrations to apply, in order. MigrationError names the first that isn't as it must be."""
    last = max((migration.number for migration in applied), default=-1)
    names = {migration.number: migration.name for migration in applied}
    for status in migration_status(applied, found):
        if status.state is MigrationState.MISSING:
            raise MigrationError(f"{status.name} was applied, and its file is missing")
        if status.state is MigrationState.CHANGED and names[status.number] != status.name:
            raise MigrationError(f"{status.name} was applied as {names[status.number]}: files aren't renamed later")
        if status.state is MigrationState.CHANGED:
            raise MigrationError(
                f"{status.name} has changed since it was applied: restore it, and write what is new into another one"
            )
        if status.state is MigrationState.LATE:
            raise MigrationError(f"{status.name} comes before {names[last]}, which was applied: give it a new number")
    return [migration for migration in found if migration.number > last]


# Applying ----------------------------------------------------------------------------------------------------------


async def read_applied(session: Executes) -> list[Applied]:
    """The migrations that a database has, in order."""
    if not await _has_table(session, MIGRATIONS_TABLE):
        return []
    result = await session.execute(f"SELECT number, name, checksum FROM main.{MIGRATIONS_TABLE} ORDER BY number")
    return [Applied(number=number, name=name, checksum=checksum) for number, name, checksum in result.fetchall()]


async def apply_migrations(
    session: MigrationSession, found: Sequence[Migration], admit: Admit = admit_all
) -> list[Migration]:
    """Apply what isn't applied yet; what was applied now.

    Each migration is a transaction: one that fails leaves nothing, and those before it stay. MigrationError and
    AccessDenied name the file and the line. Errors of the log (a lock, another primary, ...) pass unchanged.
    """
    done: list[Migration] = []
    while (migration := await apply_next(session, found, admit)) is not None:
        done.append(migration)
    return done


async def apply_next(
    session: MigrationSession, found: Sequence[Migration], admit: Admit = admit_all
) -> Migration | None:
    """Apply the first that isn't applied yet; None if there is none. Errors as of `apply_migrations`."""
    assert not session.in_transaction, "migrations begin and end their own transactions"
    while pending := plan(await read_applied(session), found):
        if await _apply(session, pending[0], found, admit):
            return pending[0]
    return None


async def _apply(session: MigrationSession, migration: Migration, found: Sequence[Migration], admit: Admit) -> bool:
    """Apply one; False if somebody else has meanwhile."""
    ((enforced,),) = (await session.execute("PRAGMA foreign_keys")).fetchall()
    if migration.foreign_keys_off and enforced:
        await session.execute("PRAGMA foreign_keys = OFF")
    try:
        await session.execute("BEGIN IMMEDIATE")
        try:
            if migration not in plan(await read_applied(session), found):
                mark("sql.migrated_elsewhere")
                await session.execute("ROLLBACK")
                return False
            await _run(session, migration, admit)
            try:
                await session.execute("COMMIT")
            except SqliteError as error:
                raise MigrationError(f"{migration.name}, at its end: {error}") from error
        finally:
            if session.in_transaction:
                await session.execute("ROLLBACK")
    finally:
        if migration.foreign_keys_off and enforced:
            await session.execute("PRAGMA foreign_keys = ON")
    return True


async def _run(session: MigrationSession, migration: Migration, admit: Admit) -> None:
    redeclared = await _redeclared(session, migration)
    for line, statement in migration.statements():
        try:
            (await session.execute(await admit(statement))).fetchall()
        except AccessDenied as error:
            raise AccessDenied(f"{migration.name}, line {line}: {error}") from error
        except (SqliteError, SqlRefused, SeveralStatements) as error:
            raise MigrationError(f"{migration.name}, line {line}: {error}") from error
    if migration.foreign_keys_off:
        await _check_keys(session, migration)
    await _ask_for(session, migration, redeclared, admit)
    with session.classifier.trusting():
        await _record(session, migration)
    await _check_subjects(session, migration)


async def _redeclared(session: MigrationSession, migration: Migration) -> list[str]:
    """Tables whose rows, there before it, count as others' subjects once a migration is applied."""
    if not migration.subjects:
        return []
    with session.classifier.trusting():
        declared = {fold(table): column for table, column in await _declared(session)}
        found: list[str] = []
        for subject in migration.subjects:
            column = declared.get(fold(subject.table))
            changes = fold(subject.column or "") != fold(column or "")
            if changes and (column is not None or await _has_rows(session, subject.table)):
                found.append(subject.table)
    return found


async def _ask_for(session: MigrationSession, migration: Migration, tables: Sequence[str], admit: Admit) -> None:
    """AccessDenied unless the author may read the whole of these: what is shown by consent, and whom receipts name,
    is by the declaration."""
    for table in tables:
        if not await _has_table(session, table):
            continue  # its rows went along with it; that was asked for
        try:
            await admit(f"SELECT * FROM main.{quote(table)}")
        except AccessDenied as error:
            mark("sql.redeclaring_denied")
            raise AccessDenied(f"{migration.name}, the subject column of {table}: {error}") from error
        except (SqliteError, SqlRefused) as error:
            raise MigrationError(f"{migration.name}, the subject column of {table}: {error}") from error


async def _check_keys(session: MigrationSession, migration: Migration) -> None:
    broken = (await session.execute("PRAGMA foreign_key_check")).fetchall()
    if broken:
        tables = ", ".join(dict.fromkeys(str(row[0]) for row in broken))
        raise MigrationError(f"{migration.name}: {len(broken)} rows refer to others that aren't there, in {tables}")


async def _record(session: MigrationSession, migration: Migration) -> None:
    if not await _has_table(session, MIGRATIONS_TABLE):
        await session.execute(CREATE_MIGRATIONS)
    await session.execute(
        f"INSERT INTO main.{MIGRATIONS_TABLE} VALUES (?, ?, ?)",
        (migration.number, migration.name, migration.checksum),
    )
    if migration.subjects:
        await _declare(session, migration)


async def _declare(session: MigrationSession, migration: Migration) -> None:
    """Change what is declared. The table is made anew: as a change of the schema, every session on every node sees it,
    and seals what it writes next as it is declared now."""
    declared = {fold(table): (table, column) for table, column in await _declared(session)}
    if await _has_table(session, SUBJECTS_TABLE):
        await session.execute(f"DROP TABLE main.{SUBJECTS_TABLE}")
    for subject in migration.subjects:
        declared.pop(fold(subject.table), None)
        if subject.column is not None:
            declared[fold(subject.table)] = subject.table, subject.column
    names: dict[str, str] = {}
    for table, _ in declared.values():
        # Elsewhere they are looked up so: one's declaration would hold for the other.
        if names.setdefault(table.lower(), table) != table:
            raise MigrationError(
                f"{migration.name}: the tables {names[table.lower()]} and {table} can't both have a subject column: "
                "only capitals beyond ASCII tell their names apart"
            )
    await session.execute(CREATE_SUBJECTS)
    for row in declared.values():
        await session.execute(f"INSERT INTO main.{SUBJECTS_TABLE} (tbl, col) VALUES (?, ?)", row)


async def _check_subjects(session: MigrationSession, migration: Migration) -> None:
    """Each subject column is there: a table that was renamed would go on without one."""
    if not await _has_table(session, SUBJECTS_TABLE):
        return
    found = await session.execute(GONE)
    for table, column in found.fetchall():
        raise MigrationError(
            f"{migration.name}: the subject column {table}.{column} isn't there; "
            f"declare another one, or `-- vdb: no subject {table}`"
        )


async def _declared(session: Executes) -> list[tuple[str, str]]:
    """The tables that have a subject column, and which."""
    if not await _has_table(session, SUBJECTS_TABLE):
        return []
    rows = (await session.execute(f"SELECT tbl, col FROM main.{SUBJECTS_TABLE}")).fetchall()
    return [(table, column) for table, column in rows]


async def _has_rows(session: Executes, name: str) -> bool:
    """Whether there is such a table, and something in it."""
    if not await _has_table(session, name):
        return False
    return bool((await session.execute(f"SELECT 1 FROM main.{quote(name)} LIMIT 1")).fetchall())


async def _has_table(session: Executes, name: str) -> bool:
    # That it says `vdb_` asks for VerityDB's own tables as well (`hiding`).
    sql = "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE AND name <> 'vdb_'"
    return bool((await session.execute(sql, (name,))).fetchall())
