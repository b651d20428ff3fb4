"""What was captured of entangled tables must end where the tables are."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from vdb.changes import Layout, Operation, RowChange, SchemaChange, Step, Value
from vdb.errors import SqlRefused
from vdb.ports import Connection
from vdb.projections.store import open_plain_memory
from vdb.sql.catalog import Nesting
from vdb.sql.last_look import check_rows
from vdb.sql.tables import Table, read_table

LAYOUT = Layout(table="t", columns=("id", "a"), key=("id",))
ENTANGLED = Nesting(first=True, then=True, anything=False)
PLAIN = Nesting(first=False, then=False, anything=False)
INSERTED = RowChange(layout=0, operation=Operation.INSERT, rowid_after=1, after=(1, "x"))
MOVED = RowChange(layout=0, operation=Operation.UPDATE, rowid_before=1, before=(1, "x"), rowid_after=2, after=(2, "x"))
DELETED = RowChange(layout=0, operation=Operation.DELETE, rowid_before=1, before=(1, "x"))


@pytest.fixture
def db() -> Connection:
    db = open_plain_memory()
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    return db


def look(db: Connection, steps: Sequence[Step], nesting: Nesting = ENTANGLED) -> None:
    def fetch(sql: str, parameters: Sequence[Value]) -> list[tuple[Value, ...]]:
        rows: list[tuple[Value, ...]] = db.execute(sql, parameters).fetchall()
        return rows

    table = read_table(db.cursor(), "t")  # type: ignore[attr-defined]
    assert isinstance(table, Table)
    check_rows(fetch, [table], [LAYOUT], steps, [nesting])


def test_rows_as_the_steps_left_them(db: Connection) -> None:
    db.execute("INSERT INTO t VALUES (2, 'x')")
    look(db, [INSERTED, MOVED])
    db.execute("DELETE FROM t")
    look(db, [INSERTED, DELETED])
    look(db, [DELETED])


def test_a_row_that_came_back_by_the_wrong_order_is_refused(db: Connection) -> None:
    with pytest.raises(SqlRefused, match="in an order that can't be told: nothing of the transaction can be logged"):
        look(db, [DELETED, MOVED])
    look(db, [DELETED, MOVED], PLAIN)


def test_another_image_is_refused(db: Connection) -> None:
    db.execute("INSERT INTO t VALUES (1, 'y')")
    with pytest.raises(SqlRefused, match="table 't'"):
        look(db, [INSERTED])
    with pytest.raises(SqlRefused, match="table 't'"):
        look(db, [DELETED])


def test_what_lies_before_a_change_of_the_schema_was_another_table(db: Connection) -> None:
    look(db, [INSERTED, SchemaChange(sql="DROP TABLE t")])
