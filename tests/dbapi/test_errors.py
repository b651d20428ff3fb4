"""What a program sees of VerityDB's errors."""

from __future__ import annotations

import pytest

from vdb import errors
from vdb.dbapi.errors import (
    DatabaseError,
    DataError,
    Error,
    IndefiniteOperationalError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    completed,
    translated,
)


def everything() -> list[type[errors.VerityError]]:
    found = [errors.VerityError]
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in found if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", everything(), ids=lambda kind: kind.__name__)
def test_each_error_has_one_of_the_db_api_s(kind: type[errors.VerityError]) -> None:
    seen = translated(kind("it says why"))
    assert isinstance(seen, Error)
    assert "it says why" in str(seen)
    assert seen.definite is not issubclass(kind, errors.IndefiniteError)  # type: ignore[attr-defined]
    assert seen.sqlite_errorname.startswith("SQLITE_")


@pytest.mark.parametrize(
    ("error", "kind", "message", "name"),
    [
        (errors.DatabaseLocked("by another"), OperationalError, "database is locked: by another", "SQLITE_BUSY"),
        (errors.SqlRefused("no"), NotSupportedError, "no", "SQLITE_ERROR"),
        (errors.PrimaryLost("?"), IndefiniteOperationalError, "?", "SQLITE_IOERR"),
        (errors.TooLarge("big"), DataError, "big", "SQLITE_TOOBIG"),
        (errors.WrongKey("k"), OperationalError, "unable to open database file: k", "SQLITE_CANTOPEN"),
        (errors.DatabaseDamaged("d"), DatabaseError, "d", "SQLITE_CORRUPT"),
        (errors.ForkedHandle("f"), ProgrammingError, "f", "SQLITE_ERROR"),
        (errors.SqlFailed("x", "IntegrityError", 2067), IntegrityError, "x", "SQLITE_CONSTRAINT_UNIQUE"),
    ],
)
def test_the_one_that_fits(error: errors.VerityError, kind: type[Error], message: str, name: str) -> None:
    seen = translated(error)
    assert (type(seen), str(seen), seen.sqlite_errorname) == (kind, message, name)


def test_codes_that_nobody_noted_are_told_by_the_message() -> None:
    for message, name in (
        ("NOT NULL constraint failed: t.a", "SQLITE_CONSTRAINT_NOTNULL"),
        ("CHECK constraint failed: x", "SQLITE_CONSTRAINT_CHECK"),
        ("interrupted", "SQLITE_INTERRUPT"),
        ("something else", "SQLITE_ERROR"),
    ):
        assert completed(OperationalError(message)).sqlite_errorname == name
