"""Migrations of a SQL database in this process: the files of a folder, and applying them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vdb.changes import NOBODY, Attribution
from vdb.embedded.crud import LocalDatabase
from vdb.errors import ConfigError, MigrationError
from vdb.policy.words import Action
from vdb.sql.diff import Schema, read_schema
from vdb.sql.host import run_inline
from vdb.sql.migrations import SUFFIX, Applied, Migration, apply_migrations, load_migrations, read_applied


def read_migration_files(folder: str | os.PathLike[str]) -> dict[str, str]:
    """The texts of a folder's .sql files by their names. ConfigError if there is no such folder."""
    place = Path(folder)
    if not place.is_dir():
        raise ConfigError(f"no folder of migrations: {place} isn't a directory")
    found = {}
    for path in sorted(place.glob(f"*{SUFFIX}")):
        try:
            found[path.name] = path.read_bytes().decode()
        except UnicodeDecodeError as error:
            raise MigrationError(f"{path.name}: not UTF-8 at byte {error.start}") from None
    return found


def migrate(
    database: LocalDatabase, migrations: str | os.PathLike[str] | Sequence[Migration], attribution: Attribution = NOBODY
) -> list[Migration]:
    """Apply what isn't applied yet, of a folder or of loaded migrations; what was applied now. MigrationError."""
    if isinstance(migrations, str | os.PathLike):
        migrations = load_migrations(read_migration_files(migrations))
    session = database.session(attribution=attribution)
    try:
        governor = database.governor(session)
        if len(migrations) > len(run_inline(read_applied(session))):
            run_inline(governor.ask(Action.SCHEMA))
        return run_inline(apply_migrations(session, migrations, governor.admit_migrating))
    finally:
        database.end(session)


def migration_facts(database: LocalDatabase) -> tuple[list[Applied], Schema]:
    """What a database has: the migrations that were applied, and its schema."""
    session = database.session()
    try:
        return run_inline(read_applied(session)), read_schema(session.db)
    finally:
        database.end(session)
