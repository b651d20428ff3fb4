"""REPLACE by a unique index on a generated column, whose value follows from columns that the statement doesn't name."""

from __future__ import annotations

import pytest

from vdb.projections.store import open_plain_memory
from vdb.sql.capture import Capture


@pytest.mark.parametrize("kind", ["STORED", "VIRTUAL"])
def test_the_row_that_goes_is_captured(kind: str) -> None:
    db = open_plain_memory()
    db.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b INT, s INT AS (coalesce(a, 0) + b) {kind})")
    db.execute("CREATE UNIQUE INDEX t_by_s ON t(s)")
    db.execute("INSERT INTO t (id, a, b) VALUES (12, 7, 5), (4, 3, 11)")
    capture = Capture(db)
    db.execute("BEGIN IMMEDIATE")
    sql = "UPDATE OR REPLACE t SET b = 9 WHERE id = 4"
    capture.prepare(("t",), sql)
    db.execute(sql)
    _, steps = capture.drain()
    assert [(step.operation.name, step.rowid_before) for step in steps] == [("DELETE", 12), ("UPDATE", 4)]  # type: ignore[union-attr]
