"""A DB-API for SQL databases (PEP 249), as Python's `sqlite3` is one, with a replicated and encrypted log beneath.

    import vdb.dbapi

    with vdb.dbapi.connect("data", keys="root.key", actor="dr-lee") as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS visits (id INTEGER PRIMARY KEY, note TEXT)")
        connection.execute("INSERT INTO visits (note) VALUES (?)", ("check-up",))

`connection` and `cursor` are the classes, `opening` finds what is connected to, `backend` is what a connection stands
on. `aio` has the same for coroutines.
"""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from vdb.dbapi import constants as _constants
from vdb.dbapi.adapting import PrepareProtocol, adapt, adapters, register_adapter
from vdb.dbapi.attribution import attributed
from vdb.dbapi.blob import Blob
from vdb.dbapi.callbacks import enable_callback_tracebacks
from vdb.dbapi.connection import Connection
from vdb.dbapi.constants import *  # noqa: F403
from vdb.dbapi.constants import LEGACY_TRANSACTION_CONTROL, PARSE_COLNAMES, PARSE_DECLTYPES
from vdb.dbapi.converting import converters, register_converter
from vdb.dbapi.cursor import Cursor
from vdb.dbapi.errors import (
    DatabaseError,
    DataError,
    Error,
    IndefiniteOperationalError,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,
)
from vdb.dbapi.row import Row
from vdb.projections.store import Binding
from vdb.version import VERSION

apilevel = "2.0"
threadsafety = 1
"""Threads may share the module, and not connections."""
paramstyle = "qmark"

version = VERSION
sqlite_version: str = Binding.sqlite_version
sqlite_version_info: tuple[int, ...] = Binding.sqlite_version_info

Date = datetime.date
Time = datetime.time
Timestamp = datetime.datetime
Binary = memoryview

complete_statement = Binding.complete_statement

__all__ = [
    "PARSE_COLNAMES",
    "PARSE_DECLTYPES",
    "Binary",
    "Blob",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "IndefiniteOperationalError",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "PrepareProtocol",
    "ProgrammingError",
    "Row",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "Warning",
    "adapt",
    "adapters",
    "apilevel",
    "attributed",
    "complete_statement",
    "connect",
    "converters",
    "enable_callback_tracebacks",
    "enable_shared_cache",
    "paramstyle",
    "register_adapter",
    "register_converter",
    "sqlite_version",
    "sqlite_version_info",
    "threadsafety",
    "version",
]
__all__ += _constants.__all__


def connect(
    database: Any,
    timeout: float = 5.0,
    detect_types: int = 0,
    isolation_level: str | None = "",
    check_same_thread: bool = True,
    factory: Any = Connection,
    cached_statements: int = 128,
    uri: bool = False,
    *,
    autocommit: bool | int = LEGACY_TRANSACTION_CONTROL,
    keys: Any = None,
    tenant: int = 1,
    name: str = "main",
    region: str | None = None,
    actor: str = "",
    purpose: str = "",
    metadata: Mapping[str, str] | None = None,
    as_of: Any = None,
    principal: str = "embedded",
    receipts: bool | None = None,
) -> Any:
    """Connect to a SQL database. The arguments that `sqlite3.connect` has mean the same here.

    `database`: a data directory, made if it is missing; `":memory:"`; or `"verity://host:port/name"`.
    `keys`: of a data directory, as `vdb.open` takes them. `name`: of the database in it. `tenant`, `region`: whose it
    is, and where. `actor`, `purpose`, `metadata`: on whose behalf transactions are made. `as_of`: a moment of the past,
    for a connection that only reads. `timeout`: seconds to wait for another transaction that writes. `principal`: who
    asks, to policies and in the audit log of a data directory; `receipts`: whether rows of PHI are seen once that
    log has that they were (None: except in memory).
    """
    given = {
        "timeout": (timeout, 5.0),
        "detect_types": (detect_types, 0),
        "isolation_level": (isolation_level, ""),
        "check_same_thread": (check_same_thread, True),
        "cached_statements": (cached_statements, 128),
        "uri": (uri, False),
        "autocommit": (autocommit, LEGACY_TRANSACTION_CONTROL),
        "keys": (keys, None),
        "tenant": (tenant, 1),
        "name": (name, "main"),
        "region": (region, None),
        "actor": (actor, ""),
        "purpose": (purpose, ""),
        "metadata": (metadata, None),
        "as_of": (as_of, None),
        "principal": (principal, "embedded"),
        "receipts": (receipts, None),
    }
    # A factory is called with what the program said, and not with what it left out.
    said = {key: value for key, (value, default) in given.items() if value is not default}
    return factory(database, **said)


def DateFromTicks(ticks: float) -> datetime.date:
    """A date in local time, from seconds since 1970."""
    return datetime.date.fromtimestamp(ticks)


def TimeFromTicks(ticks: float) -> datetime.time:
    """A time of the day in local time, from seconds since 1970."""
    return TimestampFromTicks(ticks).time()


def TimestampFromTicks(ticks: float) -> datetime.datetime:
    """A date and a time in local time, from seconds since 1970."""
    return datetime.datetime.fromtimestamp(int(ticks))


def enable_shared_cache(enable: bool) -> None:
    """Deprecated in `sqlite3` as well; does nothing: connections of a process share their node."""
    warnings.warn("enable_shared_cache is deprecated, and does nothing here", DeprecationWarning, stacklevel=2)


def __getattr__(name: str) -> Any:
    if name == "aio":  # loads anyio
        return import_module("vdb.dbapi.aio")
    if name == "OptimizedUnicode":
        warnings.warn("OptimizedUnicode is deprecated: it is str", DeprecationWarning, stacklevel=2)
        return str
    raise AttributeError(f"module 'vdb.dbapi' has no attribute {name!r}")
