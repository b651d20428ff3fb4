"""What reaches a node's log: numbers, machines and kinds of errors, and nothing that names data or what they say."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import pytest

import vdb
from vdb.errors import (
    ConfigError,
    DatabaseDamaged,
    DiskFull,
    NotPrimary,
    ProjectionFailed,
    RemoteError,
    SqlFailed,
    StreamExists,
    UnknownProjection,
)
from vdb.node import log

HOME = Path(vdb.__file__).parent

FIELDS = {
    "numbers": (
        "checkpoint_op commit erasure given grant keys lag node offset op peer principals records repaired seconds "
        "segments serial serials sources tenant uncertain until view waiting"
    ),
    "machines, and who asks": (
        "actor address client door group issuer kind missing others path principal projection region root_key source "
        "version"
    ),
}
"""Fields that may hold any expression."""

REASONS = {
    "error.strerror": "of the operating system",
    "fault.message": "of the scrubber: about bytes",
    "self._why": "of fetching an issuer's keys",
    "why": "of connections and credentials",
    "problem": "of connections between nodes, and of a policy that can't be read",
    "_reason(status.condition, status.rows.error)": "one of three sentences of this project's own",
}
"""What reasons may be beside `log.reason(...)`."""


def calls() -> list[tuple[str, str, str]]:
    """(Field, expression, place) of every call that writes to the log."""
    found: list[tuple[str, str, str]] = []
    for file in sorted(HOME.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("log.info", "log.warning"):
                continue
            place = f"{file.relative_to(HOME)}:{node.lineno}"
            assert len(node.args) == 1, f"{place}: an event and fields"
            assert isinstance(node.args[0], ast.Constant), f"{place}: the event's name is written there"
            for keyword in node.keywords:
                assert keyword.arg is not None, f"{place}: fields are written one by one"
                found.append((keyword.arg, ast.unparse(keyword.value), place))
    return found


def is_fine(field: str, expression: str) -> bool:
    if field in ("reason", "problem"):
        return expression.startswith("log.reason(") or expression in REASONS
    if field in ("database", "file"):
        return expression.startswith("log.sign(")
    return field in " ".join(FIELDS.values()).split()


def test_each_field_of_each_call_holds_what_a_log_may_hold() -> None:
    found = calls()
    assert len(found) > 100
    assert [one for one in found if not is_fine(one[0], one[1])] == []


def test_names_and_words_of_others_are_not_fine() -> None:
    assert not is_fine("stream", "stream")
    assert not is_fine("database", "self.name")
    assert not is_fine("reason", "str(error)")
    assert not is_fine("subject", "subject")


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DiskFull("wal: no room for 4096 bytes"), "wal: no room for 4096 bytes"),
        (ConfigError("expected a port"), "expected a port"),
        (NotPrimary("send it to n1"), "send it to n1"),
        (OSError(5, "Input/output error"), "[Errno 5] Input/output error"),
        (StreamExists("tenant 1 has a stream called 'ada lovelace'"), "StreamExists STREAM_EXISTS"),
        (RemoteError("Ada Lovelace"), "RemoteError"),
        (UnknownProjection("Ada"), "UnknownProjection UNKNOWN_PROJECTION"),
        (
            caused(ProjectionFailed("stopped at position 7: KeyError"), KeyError("Ada")),
            "stopped at position 7: KeyError",
        ),
        (caused(SqlFailed("Ada"), KeyError("Ada")), "SqlFailed SQL_FAILED, from KeyError"),
        (caused(DatabaseDamaged("row Ada"), ValueError("Ada")), "DatabaseDamaged, from ValueError"),
        (ValueError("Ada"), "ValueError"),
    ],
)
def test_of_errors_whose_words_may_be_about_data_the_kind_is_told(error: Exception, told: str) -> None:
    assert log.reason(error) == told


def test_a_name_has_a_sign(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="vdb.node"):
        log.info("file.rotated", file=log.sign("ada"))
    (record,) = caplog.records
    assert record.fields == {"file": log.sign("ada")}  # type: ignore[attr-defined]
    assert log.sign("ada") == log.sign("ada") != log.sign("adb")
    assert len(log.sign("ada")) == 12
