"""`vdb.open_crud`: a SQL database in this process, with its migrations applied.

with vdb.open_crud("data", migrations="migrations", keys="root.key") as clinic:
    with clinic.connect(actor="dr-lee", purpose="treatment") as connection:
        connection.execute("INSERT INTO patients (name) VALUES (?)", ("Ada",))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from vdb.changes import Attribution
from vdb.dbapi.connection import Connection
from vdb.embedded.crud import DEFAULT_NAME, LocalDatabase, open_local
from vdb.embedded.database import DEFAULT_REGION, EmbeddedDatabase, StrPath
from vdb.embedded.keys import Keys
from vdb.embedded.migrating import migrate, migration_facts, read_migration_files
from vdb.embedded.past import diff, history, restore
from vdb.sql.diffing import TableDiff
from vdb.sql.history import Version
from vdb.sql.migrations import Applied, Migration, load_migrations
from vdb.sql.moment import AnyMoment, parse_moment
from vdb.types import DataClass, Position, Region

Migrations = StrPath | Mapping[str, str] | None
"""A directory of files NNNN_name.sql, or their texts by their names."""


class SqlDatabase:
    """One SQL database. Thread-safe; a connection is for one thread at a time. A context manager."""

    def __init__(self, local: LocalDatabase) -> None:
        self.local = local
        """The database as the node in this process has it."""

    @property
    def name(self) -> str:
        return self.local.crud.name

    @property
    def node(self) -> EmbeddedDatabase:
        """The node that holds it, as `vdb.open` gives it: for policies, the audit log, and whatever else isn't SQL.

        It asks as "embedded", whoever asks by SQL.
        """
        return self.local.node

    @property
    def position(self) -> Position:
        """Before which all that this database has applied lies."""
        return self._place()[1]

    @property
    def offset(self) -> int:
        """The next offset of the database's log."""
        return self._place()[0]

    def _place(self) -> tuple[int, Position]:
        """Asked in the node's loop, where what this thread has committed was told before."""

        async def ask() -> tuple[int, Position]:
            return self.local.crud.applied, self.local.crud.position

        return self.local.call(ask)

    def connect(self, **options: Any) -> Connection:
        """A connection of the DB-API; options are those of `vdb.dbapi.connect`, such as `actor` and `as_of`."""
        return Connection(self.local, **options)

    def migrate(self, migrations: Migrations) -> list[Migration]:
        """Apply the migrations that this database hasn't yet; those that it applied now.

        MigrationError names the one that changed since, is missing, or fails: then it has left nothing.
        """
        return migrate(self.local, load_migrations(_texts(migrations)))

    def migrations(self) -> Sequence[Applied]:
        """The migrations that were applied, in order."""
        return migration_facts(self.local)[0]

    def as_of(self, moment: AnyMoment, **options: Any) -> Connection:
        """A connection to the database as it was: to its rows after all transactions up to an offset of its log, a
        position, or a time. It can be read, and not written. InvalidArgument for a moment that isn't in the log."""
        return Connection(self.local, as_of=moment, **options)

    def history(self, table: str, key: Any) -> Sequence[Version]:
        """The versions of a row, the oldest first: what it was, when, by whom and why."""
        return history(self.local, table, key)

    def diff(self, first: AnyMoment, second: AnyMoment) -> Sequence[TableDiff]:
        """Which rows differ between two moments: what turns those of the first into those of the second."""
        return diff(self.local, parse_moment(first), parse_moment(second))

    def restore(self, name: str, moment: AnyMoment, *, actor: str = "", purpose: str = "") -> None:
        """Make a new database `name` in this data directory, as this one was. StreamExists if there is one."""
        restore(self.local, name, parse_moment(moment), Attribution(actor=actor, purpose=purpose))

    def close(self) -> None:
        """Let go of the data directory. Connections that are open end. Closing twice is harmless."""
        self.local.close()

    def __enter__(self) -> SqlDatabase:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_crud(
    data_dir: StrPath,
    migrations: Migrations = None,
    keys: Keys = None,
    *,
    name: str = DEFAULT_NAME,
    tenant: int = 1,
    region: Region | str = DEFAULT_REGION,
    data_class: DataClass = DataClass.PHI,
    placement: str = "",
    principal: str = "embedded",
    receipts: bool | None = None,
) -> SqlDatabase:
    """Open the SQL database `name` in a data directory, making what is missing, and apply its migrations.

    `data_dir` ":memory:" gives a throw-away one. `keys` as for `vdb.open`. `data_class` and `placement` (a region's
    name, or 'global', never for PHI; empty: the region) count when the database is made.
    `principal`: who asks, to policies and in the audit log. `receipts`: whether rows of PHI are seen once the audit
    log has that they were; None: except in memory.
    Raises what `vdb.open` raises, and MigrationError.
    """
    local = open_local(
        data_dir,
        keys,
        name=name,
        tenant=tenant,
        region=region,
        data_class=data_class,
        placement=placement,
        principal=principal,
        receipts=receipts,
    )
    database = SqlDatabase(local)
    try:
        if migrations is not None:
            database.migrate(migrations)
    except BaseException:
        database.close()
        raise
    return database


def _texts(migrations: Migrations) -> Mapping[str, str]:
    if migrations is None:
        return {}
    return migrations if isinstance(migrations, Mapping) else read_migration_files(migrations)
