"""What migrations make of an empty database: its schema and its subject columns, as SQLite and VerityDB have them.

Migrations are tried out in memory, under the rules of a session, so what they hold that SQL mode doesn't take is found
before any database is touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from vdb.sql.diff import Difference, Schema, compare, read_schema
from vdb.sql.host import run_inline
from vdb.sql.migrations import Applied, Migration, apply_migrations, load_migrations, plan
from vdb.sql.rehearsal import Rehearsal, rehearsal
from vdb.sql.subjects import Subjects


class SchemaRegistry:
    """An ordered list of migrations, and what follows from it."""

    def __init__(self, migrations: Sequence[Migration] = ()) -> None:
        self.migrations = tuple(migrations)
        self._schema: Schema | None = None
        self._subjects: Mapping[str, str] = MappingProxyType({})

    @classmethod
    def from_files(cls, files: Mapping[str, str]) -> SchemaRegistry:
        """From the texts of a folder's files by their names. MigrationError as `load_migrations`."""
        return cls(load_migrations(files))

    def pending(self, applied: Sequence[Applied]) -> list[Migration]:
        """What a database still needs. MigrationError for one that changed, is missing or comes late."""
        return plan(applied, self.migrations)

    def schema(self) -> Schema:
        """The schema that the migrations make. MigrationError names file and line of what isn't taken."""
        if self._schema is None:
            with rehearsal() as database:
                self.rehearse(database)
                self._schema = read_schema(database.db)
                self._subjects = dict(Subjects(database.db).columns())
        return self._schema

    def subjects(self) -> Mapping[str, str]:
        """The subject column of each table that has one, by the table's name in lower case."""
        self.schema()
        return self._subjects

    def rehearse(self, database: Rehearsal) -> None:
        """Apply all migrations to a database in memory."""
        run_inline(apply_migrations(database, self.migrations))

    def drift(self, schema: Schema) -> list[Difference]:
        """What somebody changed in a database whose migrations are all applied: from ours to the given schema."""
        return compare(self.schema(), schema)
