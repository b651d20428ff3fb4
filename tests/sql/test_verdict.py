"""What each statement is, and what is refused, on a database with a bit of everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import SqlRefused
from vdb.projections.store import SeveralStatements, SqliteError, close_sqlcipher, open_plain_memory
from vdb.sql.verdict import CACHED_TEXT_MAX, Classifier, StatementKind, Verdict

SCHEMA = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT, parent REFERENCES parent ON DELETE CASCADE);
CREATE TABLE log (line TEXT, level);
CREATE INDEX child_parent ON child (parent);
CREATE VIEW names AS SELECT name FROM parent;
CREATE TRIGGER names_in INSTEAD OF INSERT ON names BEGIN INSERT INTO parent (name) VALUES (new.name); END;
CREATE TRIGGER child_log AFTER INSERT ON child BEGIN INSERT INTO log (line) VALUES (upper(new.id)); END;
CREATE TABLE vdb_migrations (name TEXT);
CREATE TABLE projection_meta (position INTEGER);
CREATE TEMP TABLE scratch (a);
CREATE TEMP TABLE vdb_capture (a);
CREATE TEMP VIEW scratched AS SELECT a FROM scratch;
CREATE TEMP TRIGGER mine AFTER INSERT ON scratch BEGIN DELETE FROM scratch; END;
CREATE TEMP TRIGGER vdb_capture_log AFTER INSERT ON log BEGIN INSERT INTO vdb_capture VALUES (quote(new.line)); END;
PRAGMA foreign_keys = ON;
ANALYZE;
"""


@pytest.fixture
def db() -> Iterator[Any]:
    connection: Any = open_plain_memory()
    connection.executescript(SCHEMA)
    connection.create_function("of_the_world", 0, lambda: 7, deterministic=True)
    yield connection
    close_sqlcipher(connection)


@pytest.fixture
def classifier(db: Any) -> Classifier:
    found = Classifier(db)
    db.create_function("mine", 1, lambda value: value, deterministic=True)
    db.create_function("lower", 1, lambda value: value, deterministic=True)
    db.create_function("regexp", 2, lambda pattern, value: 1, deterministic=True)
    db.create_collation("german", lambda a, b: (a > b) - (a < b))
    return found


K = StatementKind

KINDS: list[tuple[str, StatementKind, bool]] = [
    ("", K.EMPTY, False),
    ("-- nothing", K.EMPTY, False),
    (" ; /* x */", K.EMPTY, False),
    ("SELECT 1", K.READ, True),
    ("; SELECT 1", K.READ, True),
    ("VALUES (1), (2)", K.READ, True),
    ("SELECT * FROM names WHERE name = ?", K.READ, True),
    ("WITH a AS (SELECT 1) SELECT * FROM a", K.READ, True),
    ("SELECT mine(id), lower(name) FROM parent ORDER BY name COLLATE german", K.READ, True),
    ("SELECT * FROM vdb_migrations, projection_meta", K.READ, True),
    ("SELECT * FROM sqlite_master", K.READ, True),
    ("SELECT * FROM scratched", K.READ, True),
    ("SELECT * FROM json_each('[1]')", K.READ, True),
    ("SELECT * FROM pragma_table_info('child')", K.READ, True),
    ("INSERT INTO parent VALUES (?, :name)", K.WRITE, False),
    ("INSERT INTO parent VALUES (1, 'a') RETURNING id", K.WRITE, True),
    ("INSERT INTO parent VALUES (1, 'returning')", K.WRITE, False),
    ("INSERT INTO parent VALUES (1, 'a') ON CONFLICT DO UPDATE SET name = excluded.name", K.WRITE, False),
    ("REPLACE INTO parent VALUES (1, 'a')", K.WRITE, False),
    ("UPDATE OR REPLACE parent SET id = 2", K.WRITE, False),
    ("UPDATE parent SET name = log.line FROM log RETURNING *", K.WRITE, True),
    ("WITH a AS (SELECT 1) DELETE FROM parent WHERE id IN a", K.WRITE, False),
    ("DELETE FROM parent", K.WRITE, False),
    ("DELETE FROM parent LIMIT 1", K.WRITE, False),
    ("UPDATE sqlite_sequence SET seq = 0 WHERE name = 'child'", K.WRITE, False),
    ("INSERT INTO scratch SELECT id FROM parent", K.TEMP, False),
    ("WITH a AS (SELECT 1) DELETE FROM scratch RETURNING a", K.TEMP, True),
    ('CREATE TABLE other (a DEFAULT (random()), b COLLATE "NoCase", CHECK (length(a) > 1))', K.SCHEMA, False),
    ("CREATE TABLE other AS SELECT mine(id) FROM parent", K.SCHEMA, False),
    ("CREATE TABLE other (a DEFAULT (of_the_world()), CHECK (of_the_world() > a))", K.SCHEMA, False),
    ("CREATE TABLE IF NOT EXISTS parent (a)", K.SCHEMA, False),
    ("CREATE UNIQUE INDEX other ON parent (upper(name))", K.SCHEMA, False),
    ("CREATE VIEW other AS SELECT upper(name) FROM parent", K.SCHEMA, False),
    ("CREATE TRIGGER other AFTER UPDATE ON log BEGIN DELETE FROM log; END", K.SCHEMA, False),
    ("ALTER TABLE parent RENAME TO parents", K.SCHEMA, False),
    ("ALTER TABLE parent RENAME COLUMN name TO vdb_name", K.SCHEMA, False),
    ("ALTER TABLE parent ADD COLUMN born TEXT", K.SCHEMA, False),
    ("ALTER TABLE log DROP COLUMN level", K.SCHEMA, False),
    ("DROP TABLE IF EXISTS missing", K.SCHEMA, False),
    ("DROP TABLE log", K.SCHEMA, False),
    ("DROP TABLE main.log", K.SCHEMA, False),
    ("DROP VIEW names", K.SCHEMA, False),
    ("DROP INDEX child_parent", K.SCHEMA, False),
    ("DROP TRIGGER child_log", K.SCHEMA, False),
    ("PRAGMA user_version = 7", K.SCHEMA, False),
    ("PRAGMA application_id(7)", K.SCHEMA, False),
    ("CREATE TEMP TABLE other (a CHECK (mine(a)))", K.TEMP, False),
    ("CREATE TABLE temp.other (a)", K.TEMP, False),
    ("CREATE TRIGGER IF NOT EXISTS temp.mine AFTER INSERT ON scratch BEGIN SELECT 1; END", K.TEMP, False),
    ("DROP TABLE IF EXISTS temp.missing", K.TEMP, False),
    ("CREATE TEMPORARY TABLE IF NOT EXISTS scratch (a)", K.TEMP, False),
    ("CREATE TEMP VIEW other AS SELECT mine(a) FROM scratch", K.TEMP, False),
    ("CREATE TEMP TRIGGER other AFTER INSERT ON parent BEGIN DELETE FROM scratch; END", K.TEMP, False),
    ("CREATE TRIGGER temp.other AFTER INSERT ON parent BEGIN DELETE FROM scratch; END", K.TEMP, False),
    ("CREATE INDEX temp.other ON scratch (a)", K.TEMP, False),
    ("ALTER TABLE scratch RENAME TO other", K.TEMP, False),
    ("DROP TABLE scratch", K.TEMP, False),
    ("DROP VIEW scratched", K.TEMP, False),
    ("DROP TRIGGER mine", K.TEMP, False),
    ("BEGIN", K.BEGIN, False),
    ("END", K.COMMIT, False),
    ("COMMIT TRANSACTION", K.COMMIT, False),
    ("ROLLBACK", K.ROLLBACK, False),
    ("SAVEPOINT a", K.SAVEPOINT, False),
    ("RELEASE a", K.RELEASE, False),
    ("ROLLBACK TO a", K.ROLLBACK_TO, False),
    ("PRAGMA journal_mode", K.PRAGMA_READ, True),
    ("PRAGMA journal_mode = WAL", K.PRAGMA_READ, True),
    ("PRAGMA synchronous = 1", K.PRAGMA_READ, True),
    ("PRAGMA synchronous = EXTRA", K.PRAGMA_READ, True),
    ("PRAGMA page_size = 512", K.PRAGMA_READ, True),
    ("PRAGMA journal_size_limit = 27103364", K.PRAGMA_SET, True),
    ("PRAGMA legacy_alter_table = ON", K.PRAGMA_SET, True),
    ("PRAGMA user_version", K.PRAGMA_READ, True),
    ("PRAGMA writable_schema = RESET", K.PRAGMA_READ, True),
    ("PRAGMA foreign_keys", K.PRAGMA_READ, True),
    ("PRAGMA foreign_keys = OFF", K.PRAGMA_SET, True),
    ("PRAGMA main.cache_size(-2000)", K.PRAGMA_SET, True),
    ("EXPLAIN DELETE FROM parent", K.EXPLAIN, True),
    ("EXPLAIN QUERY PLAN SELECT * FROM parent", K.EXPLAIN, True),
    ("EXPLAIN VACUUM", K.EXPLAIN, True),
    ("ANALYZE", K.WRITE, False),
    ("ANALYZE parent", K.WRITE, False),
    ("REINDEX child_parent", K.WRITE, False),
    ("PRAGMA optimize", K.WRITE, False),
]


@pytest.mark.parametrize(("sql", "kind", "rows"), KINDS, ids=[sql for sql, _, _ in KINDS])
def test_kinds(classifier: Classifier, sql: str, kind: StatementKind, rows: bool) -> None:
    found = classifier.verdict(sql)
    assert (found.kind, found.returns_rows) == (kind, rows)
    assert not (found.writes and kind is not K.WRITE)
    assert classifier.verdict(sql) == found


REFLECTION = (
    *("table_info", "table_xinfo", "foreign_key_list", "index_list", "index_info", "index_xinfo"),
    *("foreign_key_check", "integrity_check", "quick_check"),
)


@pytest.mark.parametrize("name", REFLECTION)
@pytest.mark.parametrize("form", ["PRAGMA {}('child')", 'PRAGMA main.{}("child")', "pragma {} = child", "Pragma {}"])
def test_pragmas_of_reflection(classifier: Classifier, db: Any, name: str, form: str) -> None:
    sql = form.format(name)
    assert classifier.verdict(sql).kind is K.PRAGMA_READ
    db.execute(sql)


BARE = (
    *("table_list", "database_list", "collation_list", "function_list", "encoding", "compile_options"),
    *("journal_mode", "page_size", "page_count", "module_list", "pragma_list", "data_version", "freelist_count"),
    *("schema_version", "cipher_version", "auto_vacuum", "synchronous"),
)


@pytest.mark.parametrize("name", BARE)
def test_pragmas_that_read(classifier: Classifier, db: Any, name: str) -> None:
    assert classifier.verdict(f"PRAGMA {name}").kind is K.PRAGMA_READ
    db.execute(f"PRAGMA {name}")


def test_transactions(classifier: Classifier) -> None:
    assert classifier.verdict("begin /* now */ immediate transaction x").begin_mode == "immediate"
    assert classifier.verdict("BEGIN").begin_mode == "deferred"
    assert classifier.verdict('release savepoint "A ""b"').name == 'A "b'
    assert classifier.verdict("PRAGMA Foreign_Keys = on").name == "foreign_keys"
    assert classifier.verdict("PRAGMA table_info([a b])").argument == "a b"


def test_tables_through_triggers_views_and_foreign_keys(classifier: Classifier) -> None:
    found = classifier.verdict("INSERT INTO child (parent) SELECT min(id) FROM parent")
    assert found.writes == ("child", "log")
    assert sorted(found.reads) == ["child", "parent"]
    assert found.functions == ("min", "upper")
    assert classifier.verdict("DELETE FROM parent").writes == ("parent", "child")
    assert classifier.verdict("INSERT INTO names VALUES ('a')").writes == ("names", "parent")
    assert classifier.verdict("SELECT name FROM names").reads == ("parent", "names")


def test_a_write_through_a_temp_object_names_it(classifier: Classifier, db: Any) -> None:
    db.execute("CREATE TEMP TRIGGER further AFTER DELETE ON scratch BEGIN DELETE FROM parent; END")
    assert classifier.verdict("DELETE FROM scratch").writes == ("scratch", "parent", "child")
    assert classifier.verdict("UPDATE scratch SET a = 1").writes == ()


def test_what_temp_objects_hid_comes_back(classifier: Classifier, db: Any) -> None:
    sql = "INSERT INTO log VALUES (1, 2)"
    assert classifier.verdict(sql).kind is K.WRITE
    for end in ("DROP TABLE temp.log", "ROLLBACK"):
        create = "CREATE TEMP TABLE log (a, b)"
        db.execute("BEGIN")
        assert classifier.verdict(create).kind is K.TEMP
        db.execute(create)
        assert classifier.verdict(sql).kind is K.TEMP
        db.execute(end)
        assert classifier.verdict(sql).kind is K.WRITE
        if db.in_transaction:
            db.execute("COMMIT")


def test_what_capture_adds_is_left_out(classifier: Classifier) -> None:
    found = classifier.verdict("INSERT INTO log (line) VALUES ('a')")
    assert found == Verdict(kind=K.WRITE, writes=("log",))


def test_the_setting_of_foreign_keys_changes_verdicts(classifier: Classifier, db: Any) -> None:
    assert classifier.verdict("DELETE FROM parent").writes == ("parent", "child")
    for setting, writes in (("OFF", ("parent",)), ("ON", ("parent", "child")), ("OFF", ("parent",))):
        sql = f"PRAGMA foreign_keys = {setting}"
        assert classifier.verdict(sql).kind is K.PRAGMA_SET
        assert db.execute("PRAGMA foreign_keys").fetchone() == (int(setting == "OFF"),), "judging it doesn't run it"
        db.execute(sql)
        assert classifier.verdict("DELETE FROM parent").writes == writes


def test_a_connection_can_be_for_reading_alone(classifier: Classifier, db: Any) -> None:
    assert classifier.verdict("PRAGMA query_only = ON").kind is K.PRAGMA_SET
    assert classifier.verdict("PRAGMA query_only").kind is K.PRAGMA_READ
    db.execute("BEGIN")
    assert classifier.verdict("PRAGMA query_only").kind is K.PRAGMA_READ
    with pytest.raises(SqlRefused, match="PRAGMA query_only can't be set within a transaction: VerityDB writes at its"):
        classifier.verdict("PRAGMA query_only = ON")


OWN = "names that begin with vdb_, and projection_meta, are VerityDB's own"
NOT_HERE = "this connection registered it, and other nodes don't have it; call it in statements instead"
DURABLE = "what is durable is settled by the log, and the file's journal is VerityDB's"

REFUSED: list[tuple[str, str]] = [
    ("ATTACH 'x.db' AS x", "ATTACH is refused: other database files can't be attached: a transaction is"),
    ("ATTACH ? AS x KEY ?", "ATTACH is refused: "),
    ("DETACH x", "DETACH is refused: "),
    ("EXPLAIN ATTACH 'x.db' AS x", "ATTACH is refused: "),
    ("VACUUM", "VACUUM is refused: VerityDB looks after the file; VACUUM renumbers rows"),
    ("VACUUM main INTO 'x.db'", "VACUUM INTO is refused: it would leave a copy outside of VerityDB's keys"),
    ("SELECT load_extension('x')", "function load_extension is refused: extensions can't be loaded"),
    ("SELECT Sqlcipher_Export('main')", "function sqlcipher_export is refused: it writes rows past the log"),
    (
        "CREATE VIRTUAL TABLE f USING fts5(a)",
        "CREATE VIRTUAL TABLE is refused: virtual tables (FTS, R-tree",
    ),
    ("CREATE VIRTUAL TABLE temp.f USING fts5(a)", "CREATE VIRTUAL TABLE is refused: "),
    ("SELECT * FROM pragma_optimize", "table pragma_optimize is refused: use the PRAGMA"),
    ("INSERT INTO projection_meta VALUES (1)", "table projection_meta is VerityDB's own: it can be read, and not writ"),
    ("UPDATE main.Projection_Meta SET position = 1", "table projection_meta is VerityDB's own"),
    ("DELETE FROM vdb_migrations", "table vdb_migrations is VerityDB's own"),
    ("DELETE FROM vdb_capture", "table vdb_capture is VerityDB's own"),
    ("DROP TABLE vdb_capture", f"the name vdb_capture is refused: {OWN}"),
    ("DROP TABLE projection_meta", f"the name projection_meta is refused: {OWN}"),
    ("ALTER TABLE vdb_migrations ADD COLUMN a", f"the name vdb_migrations is refused: {OWN}"),
    ("CREATE INDEX other ON vdb_migrations (name)", "the name vdb_migrations is refused: "),
    ("CREATE TEMP TRIGGER other AFTER INSERT ON vdb_migrations BEGIN SELECT 1; END", "the name vdb_migrations is "),
    ("CREATE TEMP TABLE projection_meta (a)", "the name projection_meta is refused: "),
    ("CREATE TABLE Vdb_other (a)", "the name Vdb_other is refused: "),
    ("CREATE TEMP VIEW vdb_other AS SELECT 1", "the name vdb_other is refused: "),
    ("ALTER TABLE parent RENAME TO 'vdb_other'", "the name vdb_other is refused: "),
    ("DROP TRIGGER IF EXISTS temp.vdb_capture_log", "the name vdb_capture_log is refused: "),
    (
        "CREATE TRIGGER other AFTER INSERT ON parent BEGIN DELETE FROM [vdb_migrations]; END",
        "table vdb_migrations is VerityDB's own: it can be read, and not written",
    ),
    ("DELETE FROM sqlite_stat1", "table sqlite_stat1 can't be written: it is each node's own; run ANALYZE"),
    ("DROP TABLE sqlite_stat1", "table sqlite_stat1 can't be dropped: it is each node's own"),
    ("CREATE TABLE other (a CHECK (mine(a)))", f"function mine is refused in the schema: {NOT_HERE}"),
    ("CREATE TABLE other (a DEFAULT ((mine(1))) CHECK (mine(a)))", "function mine is refused in the schema: "),
    ("CREATE TABLE other (a, b AS (lower(a)))", "function lower is refused in the schema: "),
    ("CREATE TABLE other (a CHECK (a REGEXP 'x'))", "function regexp is refused in the schema: "),
    ("CREATE INDEX other ON parent (Mine(name))", "function mine is refused in the schema: "),
    ("CREATE INDEX other ON parent (name) WHERE mine(name)", "function mine is refused in the schema: "),
    ("CREATE VIEW other AS SELECT mine(name) FROM parent", "function mine is refused in the schema: "),
    ('CREATE VIEW other AS SELECT "mine" (name) FROM parent', "function mine is refused in the schema: "),
    ("CREATE TRIGGER other AFTER INSERT ON log BEGIN SELECT mine(1); END", "function mine is refused in the schema: "),
    ("ALTER TABLE parent ADD COLUMN b AS (mine(name))", "function mine is refused in the schema: "),
    ("CREATE TABLE other (a COLLATE german)", "collation german is refused in the schema: other nodes don't have it; "),
    ('CREATE INDEX other ON parent (name COLLATE "german")', "collation german is refused in the schema: "),
    ("PRAGMA key = 'x'", "PRAGMA key is refused: keys and ciphers are VerityDB's: the file has the key"),
    ("PRAGMA hexrekey = 'x'", "PRAGMA hexrekey is refused: keys and ciphers"),
    ("PRAGMA cipher_page_size = 512", "PRAGMA cipher_page_size is refused: keys and ciphers"),
    ("PRAGMA journal_mode = DELETE", f"PRAGMA journal_mode can't be set: {DURABLE}"),
    ("EXPLAIN PRAGMA journal_mode = DELETE", "PRAGMA journal_mode can't be set: "),
    ("PRAGMA main.synchronous(OFF)", f"PRAGMA synchronous can't be set: {DURABLE}"),
    ("PRAGMA locking_mode = EXCLUSIVE", "PRAGMA locking_mode can't be set: "),
    ("PRAGMA wal_autocheckpoint = 0", "PRAGMA wal_autocheckpoint can't be set: "),
    ("PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA wal_checkpoint is refused: what is durable is settled by the log"),
    ("PRAGMA encoding = 'UTF-16'", "PRAGMA encoding can't be set: the file's encoding is UTF-8"),
    ("PRAGMA writable_schema = ON", "PRAGMA writable_schema can't be set: the schema changes by CREATE, ALTER"),
    ("PRAGMA schema_version = 1", "PRAGMA schema_version can't be set: SQLite counts it, and VerityDB relies on it"),
    ("PRAGMA ignore_check_constraints = ON", "PRAGMA ignore_check_constraints can't be set: rows that break a CHECK"),
    ("PRAGMA temp_store = FILE", "PRAGMA temp_store can't be set: temporary tables stay in memory, so that nothing"),
    ("PRAGMA soft_heap_limit = 1", "PRAGMA soft_heap_limit can't be set: it would hold for every database of this"),
    ("PRAGMA no_such", "PRAGMA no_such is refused: it isn't among those that VerityDB knows"),
]


@pytest.mark.parametrize(("sql", "why"), REFUSED, ids=[sql for sql, _ in REFUSED])
def test_refusals(classifier: Classifier, sql: str, why: str) -> None:
    for _ in range(2):
        with pytest.raises(SqlRefused) as refused:
            classifier.verdict(sql)
        assert str(refused.value).startswith(why)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE other (a DEFAULT (1 + mine((1))) NOT NULL, mine DEFAULT (mine()))",
        "CREATE TABLE mine (a)",
        "CREATE TABLE main.mine (a)",
        "CREATE TABLE IF NOT EXISTS mine (a, FOREIGN KEY (a) REFERENCES mine (a))",
        "CREATE TRIGGER other AFTER INSERT ON log BEGIN INSERT INTO mine (a) VALUES (1); END",
        "CREATE VIEW mine (a) AS WITH mine (b) AS (SELECT 1) SELECT b FROM mine",
        "CREATE VIEW other AS SELECT id AS mine, 'mine(1)', \"name\" FROM parent -- mine(1)",
    ],
)
def test_defaults_may_call_and_names_alone_are_no_calls(classifier: Classifier, sql: str) -> None:
    assert classifier.verdict(sql).kind is K.SCHEMA


def test_functions_are_found_whatever_text_the_owner_wants(classifier: Classifier, db: Any) -> None:
    db.text_factory = bytes
    with pytest.raises(SqlRefused, match="function mine is refused in the schema"):
        classifier.verdict("CREATE VIEW other AS SELECT mine(1)")


def test_what_is_refused_for_users_passes_for_verity_itself(classifier: Classifier, db: Any) -> None:
    with classifier.trusting():
        with classifier.trusting():
            assert classifier.verdict("DELETE FROM vdb_migrations").kind is K.WRITE
        assert classifier.verdict("DELETE FROM vdb_capture").kind is K.TEMP
        db.execute("DELETE FROM vdb_migrations")
    with pytest.raises(SqlRefused):
        classifier.verdict("DELETE FROM vdb_migrations")
    assert Classifier(db, trusted=True).verdict("DELETE FROM vdb_migrations").kind is K.WRITE


@pytest.mark.parametrize(
    "sql",
    [
        "SELEC 1",
        "(SELECT 1)",
        "SELECT * FROM nowhere",
        "INSERT INTO parent VALUES (1)",
        "PRAGMA foo bar",
        "VACUUM a b",
        "BEGIN a",
        "ATTACH",
        "UPDATE sqlite_master SET sql = ''",
        "SELECT nofunction()",
        "CREATE TABLE parent (a)",
        "SELECT 'never closed",
    ],
)
def test_errors_of_sqlite_pass_unchanged(classifier: Classifier, db: Any, sql: str) -> None:
    plain: Any = open_plain_memory()
    plain.executescript(SCHEMA)
    with pytest.raises(SqliteError) as said:
        plain.execute(sql)
    close_sqlcipher(plain)
    with pytest.raises(SqliteError) as found:
        classifier.verdict(sql)
    assert (type(found.value), str(found.value)) == (type(said.value), str(said.value))


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "COMMIT; BEGIN", "PRAGMA foreign_keys = OFF; DROP TABLE log"])
def test_several_statements(classifier: Classifier, db: Any, sql: str) -> None:
    with pytest.raises(SeveralStatements, match=r"You can only execute one statement at a time\."):
        classifier.verdict(sql)
    assert db.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_nothing_runs(classifier: Classifier, db: Any) -> None:
    before = db.execute("SELECT * FROM sqlite_master").fetchall()
    for sql in ("DROP TABLE log", "DELETE FROM parent", "BEGIN", "PRAGMA user_version = 3", "CREATE TABLE other (a)"):
        classifier.verdict(sql)
    assert not db.in_transaction
    assert db.execute("SELECT * FROM sqlite_master").fetchall() == before
    assert db.execute("PRAGMA user_version").fetchone() == (0,)


DENIED = [
    "ATTACH ':memory:' AS x",
    "DELETE FROM vdb_migrations",
    "DROP TABLE projection_meta",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA key = 'x'",
    "SELECT sqlcipher_export('main')",
    "SELECT * FROM pragma_optimize",
    "CREATE VIRTUAL TABLE f USING fts5(a)",
]


@pytest.mark.parametrize("sql", DENIED)
def test_what_comes_past_the_classifier_is_denied(classifier: Classifier, db: Any, sql: str) -> None:
    with pytest.raises(SqliteError, match=r"not authorized|is prohibited"):
        db.execute(sql)


def test_a_trigger_made_elsewhere_opens_no_door(classifier: Classifier, db: Any) -> None:
    assert classifier.verdict("UPDATE log SET line = 1").kind is K.WRITE
    with classifier.trusting():
        db.execute("CREATE TRIGGER sneaky AFTER UPDATE ON log BEGIN DELETE FROM vdb_migrations; END")
    assert classifier.verdict("UPDATE log SET line = 1").kind is K.WRITE, "the verdict is out of date"
    with pytest.raises(SqliteError, match="not authorized"):
        db.execute("UPDATE log SET line = 1")
    classifier.forget()
    with pytest.raises(SqlRefused, match="table vdb_migrations is VerityDB's own"):
        classifier.verdict("UPDATE log SET line = 1")


def test_the_users_authorizer_is_asked_too(classifier: Classifier, db: Any) -> None:
    asked: list[tuple[object, ...]] = []

    def authorizer(*action: object) -> int:
        asked.append(action)
        return 2 if action[2] == "name" else 0

    db.execute("INSERT INTO parent VALUES (1, 'a')")
    assert db.execute("SELECT id, name FROM parent").fetchall() == [(1, "a")]
    classifier.user_authorizer = authorizer
    assert classifier.user_authorizer is authorizer
    assert db.execute("SELECT id, name FROM parent").fetchall() == [(1, None)]
    assert (20, "parent", "name", "main", None) in asked
    asked.clear()
    classifier.verdict("SELECT name FROM parent")
    with classifier.trusting():
        db.execute("SELECT count(*) FROM vdb_migrations")
    assert asked == []
    db.execute("INSERT INTO log (line) VALUES ('a')")
    assert [action[1] for action in asked] == ["log"], "capture's triggers are not for users to see"
    classifier.user_authorizer = None
    assert db.execute("SELECT id, name FROM parent").fetchall() == [(1, "a")]


def test_the_cache_is_bounded_and_keeps_what_is_used(db: Any) -> None:
    classifier = Classifier(db, cache_size=20)
    classifier.verdict("SELECT 'hot'")
    for number in range(200):
        classifier.verdict(f"SELECT {number}")
        assert classifier.cached("SELECT 'hot'") is not None
    assert sum(classifier.cached(f"SELECT {number}") is not None for number in range(200)) < 20
    long = f"SELECT '{'x' * CACHED_TEXT_MAX}'"
    assert classifier.verdict(long).kind is K.READ
    assert classifier.cached(long) is None
    classifier.forget()
    assert classifier.cached("SELECT 'hot'") is None


SPACE = st.sampled_from([" ", "\t", "\n", "\r\n", "--x; SELECT\n", "/* ; BEGIN */"])
SOLID = st.lists(SPACE, min_size=1, max_size=2).map("".join)
PLAIN = [(sql, kind) for sql, kind, _ in KINDS if sql and not set(sql) & set("'\"-/;[")]


@given(st.sampled_from(PLAIN), st.data())
def test_dress_changes_nothing(
    classifier_of_all: Callable[[], Classifier], case: tuple[str, StatementKind], data: st.DataObject
) -> None:
    sql, kind = case
    dress = data.draw(st.sampled_from([str, str.lower, str.upper]))
    words = [dress(word) if word != ":name" else word for word in sql.split()]
    dressed = data.draw(SOLID) + "".join(word + data.draw(SOLID) for word in words)
    classifier = classifier_of_all()
    found, plain = classifier.verdict(dressed), classifier.verdict(sql)
    assert found.kind is kind
    assert (found.returns_rows, found.begin_mode) == (plain.returns_rows, plain.begin_mode)
    for names, expected in ((found.reads, plain.reads), (found.writes, plain.writes)):
        assert {name.lower() for name in names} == {name.lower() for name in expected}


@pytest.fixture(scope="module")
def classifier_of_all() -> Iterator[Callable[[], Classifier]]:
    connection: Any = open_plain_memory()
    connection.executescript(SCHEMA)
    connection.create_function("of_the_world", 0, lambda: 7, deterministic=True)
    classifier = Classifier(connection)
    for name in ("mine", "lower"):
        connection.create_function(name, 1, lambda value: value)
    connection.create_collation("german", lambda a, b: 0)
    yield lambda: classifier
    close_sqlcipher(connection)
