"""The dialect: SQLAlchemy's for SQLite, on `vdb.dbapi`.

- A transaction of SQLAlchemy's is one of SQLite's, from its begin: the dialect says BEGIN (`isolation_level=IMMEDIATE`
  in the URL: BEGIN IMMEDIATE), so that reads see one snapshot, and savepoints, DDL and their rollback are exact.
- Isolation levels: SERIALIZABLE, and AUTOCOMMIT. READ UNCOMMITTED is taken, and reads what is committed.
- VerityDB's own tables don't show in reflection; `sqlite_include_internal=True` shows them.
- In memory, each connection is a database of its own, one for each thread. A data directory is for all threads.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Literal

from sqlalchemy import pool, util
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.interfaces import ConnectArgsType, DBAPIConnection, DBAPIModule, IsolationLevel
from sqlalchemy.engine.url import URL

from vdb import dbapi
from vdb.sql.names import INTERNAL_TABLES
from vdb.sql.refusals import OWN_PREFIX
from vdb.sqlalchemy.urls import connect_arguments, is_memory, is_remote
from vdb.version import VERSION

_HIDDEN = ", ".join(f"'{name}'" for name in INTERNAL_TABLES if not name.startswith(OWN_PREFIX))
_OWN = f"{OWN_PREFIX.replace('_', '~_')}%"
_AUTOCOMMIT: Literal["AUTOCOMMIT"] = "AUTOCOMMIT"


def _uncommitted(dbapi_connection: Any) -> bool:
    return bool(dbapi_connection.execute("PRAGMA read_uncommitted").fetchone()[0])


class VerityDialect(SQLiteDialect_pysqlite):
    """See the module's docstring."""

    name = "verity"
    driver = "vdb"
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> DBAPIModule:
        return dbapi  # type: ignore[return-value]

    @classmethod
    def _is_url_file_db(cls, url: URL) -> bool:
        return not is_memory(url)

    @classmethod
    def get_pool_class(cls, url: URL) -> type[pool.Pool]:
        return pool.SingletonThreadPool if is_memory(url) else pool.QueuePool

    def retrieve_dbapi_version(self, dbapi: DBAPIModule) -> util.VersionInfo:
        return util.parse_version_string(VERSION) or util.VersionInfo((0,))

    def create_connect_args(self, url: URL) -> ConnectArgsType:
        return connect_arguments(url)

    def on_connect_url(self, url: URL) -> Callable[[DBAPIConnection], None] | None:
        # Functions in Python run where SQLite does: on a node far away there are none.
        return None if is_remote(url) else self.on_connect()

    # Transactions

    def do_begin(self, dbapi_connection: Any) -> None:
        # In memory, all of a thread's connections are one: whoever comes second finds a transaction open.
        level = dbapi_connection.isolation_level
        if level is not None and not dbapi_connection.in_transaction:
            dbapi_connection.execute(f"BEGIN {level}")

    def set_isolation_level(self, dbapi_connection: Any, level: IsolationLevel) -> None:
        if level == _AUTOCOMMIT:
            if dbapi_connection.isolation_level is not None:
                dbapi_connection.vdb_begin = dbapi_connection.isolation_level
            dbapi_connection.isolation_level = None
            return
        if dbapi_connection.isolation_level is None:
            dbapi_connection.isolation_level = getattr(dbapi_connection, "vdb_begin", "")
        SQLiteDialect.set_isolation_level(self, dbapi_connection, level)

    def get_isolation_level(self, dbapi_connection: Any) -> IsolationLevel:
        if dbapi_connection.isolation_level is None:
            return _AUTOCOMMIT
        return "READ UNCOMMITTED" if _uncommitted(dbapi_connection) else "SERIALIZABLE"

    # Reflection

    def _sqlite_main_query(self, table: str, type_: str, schema: str | None, sqlite_include_internal: bool) -> str:
        query: str = super()._sqlite_main_query(table, type_, schema, sqlite_include_internal)
        if sqlite_include_internal:  # a statement that says their prefix asks for our own tables as well
            return query.replace(" ORDER BY ", f" AND name <> '{OWN_PREFIX}' ORDER BY ")
        ours = f"name LIKE '{_OWN}' ESCAPE '~' OR lower(name) IN ({_HIDDEN})"
        return query.replace(" ORDER BY ", f" AND NOT ({ours}) ORDER BY ")


class VeritySqliteDialect(VerityDialect):
    """The same under the name "sqlite", for programs that ask for it."""

    name = "sqlite"
    driver = "verity"
    supports_statement_cache = True


if "alembic" in sys.modules:
    import vdb.sqlalchemy.alembic as _alembic  # noqa: F401
