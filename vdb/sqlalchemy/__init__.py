"""SQLAlchemy on VerityDB: the dialect `verity://`, and Alembic's part for it.

    create_engine("verity://")                                        in memory, thrown away with its connection
    create_engine("verity:////var/lib/clinic?name=main&keys=root.key") a data directory
    create_engine("verity://node1:7140/clinic?tenant=1&host=node2:7140&host=node3:7140")   a cluster

It is SQLAlchemy's dialect for SQLite on `vdb.dbapi`: `sqlite_autoincrement`, `sqlalchemy.dialects.sqlite.insert` and
the like mean what they mean there. Programs that ask for the dialect by its name, "sqlite" (`with_variant`,
`@compiles`, `execute_if`), write `sqlite+verity://`; all else is the same.
"""

from __future__ import annotations

from sqlalchemy.dialects import registry

from vdb.sqlalchemy.dialect import VerityDialect, VeritySqliteDialect

__all__ = ["VerityDialect", "VeritySqliteDialect"]

registry.register("verity", "vdb.sqlalchemy.dialect", "VerityDialect")
registry.register("verity.vdb", "vdb.sqlalchemy.dialect", "VerityDialect")
registry.register("sqlite.verity", "vdb.sqlalchemy.dialect", "VeritySqliteDialect")
