"""The exceptions of PEP 249: the binding's own, so that what SQLite says reaches the program as SQLite said it.

    Warning
    Error                                    every one has `definite`: whether it is certain that nothing happened
    ├── InterfaceError
    └── DatabaseError
        ├── DataError                        TooLarge
        ├── OperationalError                 DatabaseLocked, TransactionEnded, NotPrimary, a node that can't start
        │   └── IndefiniteOperationalError   the transaction may or may not be in the log: ConnectionLost, ...
        ├── IntegrityError, InternalError, ProgrammingError
        └── NotSupportedError                SqlRefused

An error of VerityDB's is the `__cause__` of the one that the program sees. What SQLite said carries
`sqlite_errorcode` and `sqlite_errorname`, as in Python's `sqlite3`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vdb import errors
from vdb.dbapi.constants import (
    RESULT_NAMES,
    SQLITE_AUTH,
    SQLITE_BUSY,
    SQLITE_CANTOPEN,
    SQLITE_CONSTRAINT,
    SQLITE_CONSTRAINT_CHECK,
    SQLITE_CONSTRAINT_FOREIGNKEY,
    SQLITE_CONSTRAINT_NOTNULL,
    SQLITE_CONSTRAINT_UNIQUE,
    SQLITE_CORRUPT,
    SQLITE_ERROR,
    SQLITE_FULL,
    SQLITE_INTERRUPT,
    SQLITE_IOERR,
    SQLITE_LOCKED,
    SQLITE_READONLY,
    SQLITE_TOOBIG,
)
from vdb.projections.store import Binding

if TYPE_CHECKING:
    from sqlite3 import (
        DatabaseError,
        DataError,
        Error,
        IntegrityError,
        InterfaceError,
        InternalError,
        NotSupportedError,
        OperationalError,
        ProgrammingError,
        Warning,
    )
else:
    Warning = Binding.Warning
    Error = Binding.Error
    InterfaceError = Binding.InterfaceError
    DatabaseError = Binding.DatabaseError
    DataError = Binding.DataError
    OperationalError = Binding.OperationalError
    IntegrityError = Binding.IntegrityError
    InternalError = Binding.InternalError
    ProgrammingError = Binding.ProgrammingError
    NotSupportedError = Binding.NotSupportedError

__all__ = [
    "DataError",
    "DatabaseError",
    "Error",
    "IndefiniteOperationalError",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Warning",
]


class IndefiniteOperationalError(OperationalError):
    """The transaction may or may not have been committed. Read before writing again."""


_BY_MESSAGE = (
    ("CHECK constraint failed", SQLITE_CONSTRAINT_CHECK),
    ("NOT NULL constraint failed", SQLITE_CONSTRAINT_NOTNULL),
    ("FOREIGN KEY constraint failed", SQLITE_CONSTRAINT_FOREIGNKEY),
    ("UNIQUE constraint failed", SQLITE_CONSTRAINT_UNIQUE),
    ("constraint failed", SQLITE_CONSTRAINT),
    ("database is locked", SQLITE_BUSY),
    ("database table is locked", SQLITE_LOCKED),
    ("interrupted", SQLITE_INTERRUPT),
    ("readonly database", SQLITE_READONLY),
    ("disk is full", SQLITE_FULL),
    ("disk I/O error", SQLITE_IOERR),
    ("malformed", SQLITE_CORRUPT),
    ("too big", SQLITE_TOOBIG),
)
"""For errors whose code nobody noted when SQLite raised them."""

_KINDS: dict[str, type[Error]] = {
    kind.__name__: kind
    for kind in (
        *(DatabaseError, DataError, IntegrityError, InterfaceError, InternalError),
        *(NotSupportedError, OperationalError, ProgrammingError),
    )
}

_MAPPED: tuple[tuple[type[errors.VerityError], type[Error], str, int], ...] = (
    (errors.DatabaseLocked, OperationalError, "database is locked: ", SQLITE_BUSY),
    (errors.SqlRefused, NotSupportedError, "", SQLITE_ERROR),
    (errors.AccessDenied, DatabaseError, "not authorized: ", SQLITE_AUTH),
    (errors.NotAuthenticated, DatabaseError, "not authorized: ", SQLITE_AUTH),
    (errors.IndefiniteError, IndefiniteOperationalError, "", SQLITE_IOERR),
    (errors.TooLarge, DataError, "", SQLITE_TOOBIG),
    (errors.InvalidArgument, ProgrammingError, "", SQLITE_ERROR),
    (errors.StartError, OperationalError, "unable to open database file: ", SQLITE_CANTOPEN),
    (errors.UnknownDatabase, OperationalError, "unable to open database file: ", SQLITE_CANTOPEN),
    (errors.DatabaseDamaged, DatabaseError, "", SQLITE_CORRUPT),
    (errors.DiskFull, OperationalError, "database or disk is full: ", SQLITE_FULL),
    (errors.StorageError, OperationalError, "disk I/O error: ", SQLITE_IOERR),
    (errors.ForkedHandle, ProgrammingError, "", SQLITE_ERROR),
    (errors.VerityError, OperationalError, "", SQLITE_ERROR),
)


def note_code(error: BaseException, code: int) -> None:
    """Say with the error what SQLite's result code was; the first one stays."""
    noted: int = getattr(error, "sqlite_errorcode", code)
    name = RESULT_NAMES.get(noted, RESULT_NAMES.get(noted & 255, ""))
    _set(error, sqlite_errorcode=noted, sqlite_errorname=name)


def completed(error: Error) -> Error:
    """An error of the binding's with all that the program may ask it."""
    _set(error, definite=True)
    if not isinstance(error, ProgrammingError | InterfaceError | NotSupportedError):
        message = str(error)
        note_code(error, next((code for text, code in _BY_MESSAGE if text in message), SQLITE_ERROR))
    else:
        given: int | None = getattr(error, "sqlite_errorcode", None)
        if given is not None:
            note_code(error, given)
    return error


def translated(error: errors.VerityError) -> Error:
    """The exception that a program sees for one of VerityDB's; raise it from that one."""
    if isinstance(error, errors.SqlFailed):
        found = _KINDS.get(error.kind, OperationalError)(str(error))
        note_code(found, error.sqlite_errorcode)
        return completed(found)
    for kind, seen, prefix, code in _MAPPED:
        if isinstance(error, kind):
            message = str(error)
            found = seen(message if message.startswith(prefix.rstrip(": ")) else prefix + message)
            note_code(found, code)
            _set(found, definite=seen is not IndefiniteOperationalError)
            return found
    raise AssertionError("every error of VerityDB's is mapped")


def _set(error: BaseException, **attributes: Any) -> None:
    for name, value in attributes.items():
        setattr(error, name, value)
