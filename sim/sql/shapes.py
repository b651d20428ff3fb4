"""Shapes of tables: how each is made, with its indexes and triggers, and what the grammar has to know of it.

A run has some of them. `Known` is what all clients believe of the schema; it may be behind what other clients changed,
and a statement that is wrong for that reason is an error like any other.
"""

from __future__ import annotations

from attrs import define, field, frozen


@frozen(kw_only=True)
class Shape:
    """`columns` are those that may be written, with the kind of their values."""

    name: str
    create: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    key: str
    """The column by which rows are found."""
    conflict: tuple[str, ...] = ()
    """What stands in ON CONFLICT (...)."""
    rowid: bool = True
    needs: tuple[str, ...] = ()
    """Shapes that it refers to."""


@define
class Known:
    """A table, as clients believe that it is."""

    name: str
    columns: dict[str, str]
    key: str
    conflict: tuple[str, ...]
    rowid: bool
    indexes: list[str] = field(factory=list)

    @classmethod
    def of(cls, shape: Shape) -> Known:
        return cls(shape.name, dict(shape.columns), shape.key, shape.conflict, shape.rowid)


_TRAIL = "INSERT INTO trail(what, a, b) VALUES"

SHAPES: tuple[Shape, ...] = (
    Shape(
        name="people",
        create=(
            "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT UNIQUE, age INT, note)",
            "CREATE INDEX people_by_age ON people(age)",
        ),
        columns=(("id", "key"), ("name", "word"), ("age", "int"), ("note", "any")),
        key="id",
        conflict=("name", "id"),
    ),
    Shape(
        name="pairs",
        create=("CREATE TABLE pairs (a TEXT, b INTEGER, v, w REAL, PRIMARY KEY (b, a)) WITHOUT ROWID",),
        columns=(("a", "word"), ("b", "key"), ("v", "any"), ("w", "real")),
        key="b",
        conflict=("b, a",),
        rowid=False,
    ),
    Shape(
        name="loose",
        create=("CREATE TABLE loose (a, b, c)",),
        columns=(("a", "key"), ("b", "any"), ("c", "text")),
        key="a",
    ),
    Shape(
        name="strict",
        create=(
            "CREATE TABLE strict (id INTEGER PRIMARY KEY, r REAL, t TEXT NOT NULL DEFAULT 'd', b BLOB, x ANY, "
            "CHECK (length(t) < 60)) STRICT",
        ),
        columns=(("id", "key"), ("r", "real"), ("t", "text"), ("b", "blob"), ("x", "any")),
        key="id",
        conflict=("id",),
    ),
    Shape(
        name="counted",
        create=("CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, u INTEGER UNIQUE, v TEXT)",),
        columns=(("u", "key"), ("v", "text")),
        key="id",
        conflict=("u",),
    ),
    Shape(
        name="computed",
        create=(
            "CREATE TABLE computed (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, "
            "s INTEGER GENERATED ALWAYS AS (coalesce(a, 0) + coalesce(b, 0)) STORED, "
            "t TEXT AS (a || '-' || b) VIRTUAL)",
            "CREATE UNIQUE INDEX computed_by_sum ON computed(s)",
        ),
        columns=(("id", "key"), ("a", "key"), ("b", "key")),
        key="id",
        conflict=("id", "s"),
    ),
    Shape(
        name="parent",
        create=("CREATE TABLE parent (id INTEGER PRIMARY KEY, k TEXT UNIQUE, n INT)",),
        columns=(("id", "key"), ("k", "word"), ("n", "int")),
        key="id",
        conflict=("id", "k"),
    ),
    Shape(
        name="child",
        create=(
            "CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent(id) ON DELETE CASCADE ON UPDATE "
            "CASCADE, k TEXT REFERENCES parent(k) ON DELETE SET NULL ON UPDATE SET NULL, v)",
        ),
        columns=(("id", "key"), ("p", "key"), ("k", "word"), ("v", "any")),
        key="p",
        conflict=("id",),
        needs=("parent",),
    ),
    Shape(
        name="grandchild",
        create=(
            "CREATE TABLE grandchild (c INTEGER REFERENCES child(id) ON DELETE CASCADE ON UPDATE SET DEFAULT "
            "DEFERRABLE INITIALLY DEFERRED, "
            "d INTEGER REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED)",
            "CREATE INDEX grandchild_by_c ON grandchild(c)",
        ),
        columns=(("c", "key"), ("d", "key")),
        key="c",
        needs=("parent", "child"),
    ),
    Shape(
        name="tree",
        create=(
            "CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree(id) ON UPDATE CASCADE ON DELETE "
            "CASCADE, label TEXT COLLATE NOCASE UNIQUE)",
        ),
        columns=(("id", "key"), ("up", "key"), ("label", "word")),
        key="id",
        conflict=("id", "label"),
    ),
    Shape(
        name="trail",
        create=("CREATE TABLE trail (what TEXT, a, b)",),
        columns=(("what", "text"), ("a", "any"), ("b", "any")),
        key="what",
    ),
    Shape(
        name="watched",
        create=(
            "CREATE TABLE watched (id INTEGER PRIMARY KEY, v, n INT DEFAULT 0)",
            f"CREATE TRIGGER watched_i AFTER INSERT ON watched BEGIN {_TRAIL} ('+', NEW.id, NEW.v); END",
            f"CREATE TRIGGER watched_d BEFORE DELETE ON watched BEGIN {_TRAIL} ('-', OLD.id, OLD.v); END",
            "CREATE TRIGGER watched_u AFTER UPDATE OF v ON watched WHEN NEW.n < 3 BEGIN "
            "UPDATE watched SET n = NEW.n + 1 WHERE id = NEW.id; END",
            "CREATE TRIGGER watched_no BEFORE INSERT ON watched WHEN NEW.id = 11 BEGIN "
            "SELECT RAISE(ROLLBACK, 'not eleven'); END",
            "CREATE TRIGGER watched_skip BEFORE UPDATE ON watched WHEN NEW.id = 10 BEGIN SELECT RAISE(IGNORE); END",
        ),
        columns=(("id", "key"), ("v", "any"), ("n", "int")),
        key="id",
        conflict=("id",),
        needs=("trail",),
    ),
    Shape(
        name="seen",
        create=(
            "CREATE VIEW seen AS SELECT id, name FROM people",
            "CREATE TRIGGER seen_i INSTEAD OF INSERT ON seen BEGIN INSERT INTO people(id, name) VALUES (NEW.id, "
            "NEW.name); END",
            "CREATE TRIGGER seen_d INSTEAD OF DELETE ON seen BEGIN DELETE FROM people WHERE id = OLD.id; END",
        ),
        columns=(("id", "key"), ("name", "word")),
        key="id",
        rowid=False,
        needs=("people",),
    ),
)
"""Those that others refer to stand first. No table has both a deferred and an immediate foreign key: plain SQLite goes
wrong there. It doesn't take back what it counted of the deferred one when a row breaks the other, and then fails the
COMMIT. (With triggers on the table it takes it back.)"""

BY_NAME = {shape.name: shape for shape in SHAPES}


def with_needs(names: tuple[str, ...]) -> list[Shape]:
    """These shapes and those that they refer to, in the order in which they can be made."""
    wanted: dict[str, None] = {}
    for name in names:
        for one in (*BY_NAME[name].needs, name):
            wanted[one] = None
    return [shape for shape in SHAPES if shape.name in wanted]
