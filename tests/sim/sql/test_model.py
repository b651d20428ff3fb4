"""The model: what it tells of a database, and how it answers."""

from __future__ import annotations

from sim.sql.deeds import Answer
from sim.sql.model import Model, answer_of, dump
from sim.sql.script import Statement


def test_a_dump_tells_values_that_python_takes_for_equal() -> None:
    one, other = Model(), Model()
    for model, values in ((one, "(1, 'a', 0.0)"), (other, "(1.0, x'61', -0.0)")):
        model.db.execute("CREATE TABLE t (a, b, c)")
        model.db.execute(f"INSERT INTO t VALUES {values}")
    assert dump(one.db).differs(dump(other.db)).startswith("t: surplus")
    assert dump(one.db).differs(dump(one.copy().db)) == ""


def test_a_dump_reads_text_that_isnt_utf_8_and_sequences() -> None:
    model = Model()
    model.db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a)")
    model.db.execute("INSERT INTO t VALUES (7, CAST(x'ff41' AS TEXT))")
    found = dump(model.db)
    assert found.tables["t"] == ("(7, 7, tb'\\xffA')",)
    assert found.tables["sqlite_sequence"] == ("(tb't', 7)",)
    assert all("projection_meta" not in text for text in found.schema)


def test_answers() -> None:
    model = Model()
    assert answer_of(model.db, Statement("CREATE TABLE t (a UNIQUE)")).error == ""
    assert answer_of(model.db, Statement("INSERT INTO t VALUES (?)", (1,), gives_rowid=True)).rowid == 1
    failed = answer_of(model.db, Statement("INSERT OR FAIL INTO t VALUES (?)", ((2,), (1,), (3,)), many=True))
    assert failed == Answer(error="IntegrityError: UNIQUE constraint failed: t.a")
    assert answer_of(model.db, Statement("SELECT a FROM t")).rows == ("(1,)", "(2,)")
    begun = answer_of(model.db, Statement("BEGIN"))
    assert begun.open
    assert begun.differs(Answer(rowcount=-1), gives_rowid=False) == "open True instead of False"
