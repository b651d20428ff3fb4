from vdb.changes import Operation, RowChange, SchemaChange, SequenceChange
from vdb.projections.store import open_plain_memory
from vdb.sql.capture import Capture


def test_rows_of_plain_statements() -> None:
    db = open_plain_memory()
    capture = Capture(db)
    db.execute("BEGIN IMMEDIATE")
    for sql in ("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT)",):
        capture.before_schema_change(sql)
        db.execute(sql)
        capture.after_schema_change(sql)
    for sql in ("INSERT INTO t (a) VALUES ('x'), ('y')", "UPDATE t SET a = a || '!'", "DELETE FROM t WHERE id = 1"):
        capture.prepare(("t",), sql)
        db.execute(sql)
    assert capture.pending()
    layouts, steps = capture.drain()
    assert [layout.table for layout in layouts] == ["t"]
    assert isinstance(steps[0], SchemaChange)
    assert [step.operation for step in steps if isinstance(step, RowChange)] == [
        Operation.INSERT,
        Operation.INSERT,
        Operation.UPDATE,
        Operation.UPDATE,
        Operation.DELETE,
    ]
    assert steps[-1] == SequenceChange(table="t", value=2)
    assert not capture.pending()
    assert capture.drain() == ((), [])
    db.execute("COMMIT")
