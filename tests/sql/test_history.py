"""The versions of a row: through changes of its key, renames of its table, and others that had its key."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve, frozen

from vdb.changes import Attribution, Layout, Operation, RawText, RowChange, SchemaChange, Transaction
from vdb.sql.history import HistorySearch, Version, table_change

INS, UPD, DEL = Operation.INSERT, Operation.UPDATE, Operation.DELETE
PEOPLE = Layout(table="People", columns=("id", "name"), key=("id",))


@frozen(kw_only=True)
class Logged:
    transaction: Transaction
    first_offset: int
    next_offset: int
    position: int
    time: int
    erased: tuple[bytes, ...] = ()


def log(*transactions: list[Any], layout: Layout = PEOPLE) -> list[Logged]:
    """Each transaction: (before, after) pairs of rows, layouts, or statements."""
    found: list[Logged] = []
    offset = 0
    for number, given in enumerate(transactions):
        layouts = [layout]
        steps: list[Any] = []
        for each in given:
            if isinstance(each, str):
                steps.append(SchemaChange(sql=each))
            elif isinstance(each, Layout):
                layouts.append(each)
            else:
                steps.append(row(len(layouts) - 1, layouts[-1], *each))
        end = offset + len(steps) + 1
        found.append(
            Logged(
                transaction=Transaction(
                    id=bytes([number]) * 16,
                    attribution=Attribution(actor=f"actor {number}", purpose="care", metadata={"n": str(number)}),
                    layouts=tuple(layouts),
                    steps=tuple(steps),
                ),
                first_offset=offset,
                next_offset=end,
                position=1000 + end,
                time=10 * number,
            )
        )
        offset = end
    return found


def row(index: int, layout: Layout, before: tuple[Any, ...] | None, after: tuple[Any, ...] | None) -> RowChange:
    """The rowid is the first value."""
    operation = INS if before is None else DEL if after is None else UPD
    return RowChange(
        layout=index,
        operation=operation,
        rowid_before=None if before is None or not layout.rowid else before[0],
        rowid_after=None if after is None or not layout.rowid else after[0],
        before=before,
        after=after,
    )


def search(logged: list[Logged], table: str, key: Any) -> tuple[list[Version], int]:
    """The versions, and how many passes it took."""
    found, passes = HistorySearch(table, key), 0
    while found.wants_pass():
        passes += 1
        for one in logged:
            found.feed(one)
    return found.versions(), passes


def told(versions: list[Version]) -> list[tuple[Any, ...]]:
    return [
        (
            version.operation,
            *(None if image is None else tuple(image.values()) for image in (version.before, version.after)),
        )
        for version in versions
    ]


def test_a_row_is_told_with_who_changed_it_and_where() -> None:
    logged = log([(None, (1, "a")), (None, (2, "x"))], [((1, "a"), (1, "b"))], [((1, "b"), None)])
    versions, passes = search(logged, "people", 1)
    assert passes == 1
    assert told(versions) == [(INS, None, (1, "a")), (UPD, (1, "a"), (1, "b")), (DEL, (1, "b"), None)]
    first, second, _ = versions
    assert first.before is None
    assert first.after == {"id": 1, "name": "a"}
    assert (second.table, second.transaction, second.attribution.actor) == ("People", bytes([1]) * 16, "actor 1")
    assert (second.attribution.purpose, second.attribution.metadata) == ("care", {"n": "1"})
    assert (second.first_offset, second.next_offset, second.position, second.time) == (3, 5, 1005, 10)


@pytest.mark.parametrize("key", [1, "1", 1.0, [1], ("1",)])
def test_a_key_is_compared_by_its_text(key: Any) -> None:
    assert len(search(log([(None, (1, "a"))]), "PEOPLE", key)[0]) == 1
    assert search(log([(None, (1, "a"))]), "people", "2")[0] == []


def test_a_row_is_followed_to_its_next_key() -> None:
    logged = log([(None, (1, "a"))], [((1, "a"), (2, "a"))], [((2, "a"), (2, "b"))], [((2, "b"), (3, "b"))])
    versions, passes = search(logged, "people", 1)
    assert (len(versions), passes) == (4, 1)


def test_a_row_is_followed_back_to_the_keys_that_it_came_from() -> None:
    logged = log([(None, (1, "a"))], [((1, "a"), (2, "a"))], [((2, "a"), (3, "a"))], [((3, "a"), (3, "b"))])
    versions, passes = search(logged, "people", 3)
    assert (len(versions), passes) == (4, 3)


def test_other_rows_that_once_had_a_key_on_the_way_are_not_told() -> None:
    logged = log(
        [(None, (1, "other"))],
        [((1, "other"), None)],
        [(None, (1, "mine"))],
        [((1, "mine"), (2, "mine"))],
        [(None, (1, "third"))],
    )
    assert told(search(logged, "people", 2)[0]) == [(INS, None, (1, "mine")), (UPD, (1, "mine"), (2, "mine"))]
    assert len(search(logged, "people", 1)[0]) == 5


def test_a_table_is_followed_through_its_names() -> None:
    staff = Layout(table="staff", columns=("id", "full_name"), key=("id",))
    logged = log(
        ["CREATE TABLE people (id INTEGER PRIMARY KEY, name)", (None, (1, "a"))],
        ['ALTER TABLE main."People" RENAME TO Staff', "ALTER TABLE staff RENAME COLUMN name TO full_name"],
        [staff, ((1, "a"), (1, "b"))],
    )
    for table in ("people", "staff"):
        versions, _ = search(logged, table, 1)
        assert [version.after for version in versions] == [{"id": 1, "name": "a"}, {"id": 1, "full_name": "b"}]


def test_a_table_of_the_same_name_that_came_later_has_other_rows() -> None:
    logged = log(
        [(None, (1, "old"))],
        ["DROP TABLE IF EXISTS people", "CREATE TABLE people (id INTEGER PRIMARY KEY, name)"],
        [(None, (5, "new"))],
        [((5, "new"), (1, "new"))],
        ["DROP TABLE other", "CREATE INDEX x ON people (name)", "ALTER TABLE people ADD COLUMN more"],
    )
    versions, _ = search(logged, "people", 5)
    assert told(versions) == [(INS, None, (5, "new")), (UPD, (5, "new"), (1, "new"))]


def test_tables_without_a_key_go_by_their_rowid_and_others_by_all_their_columns() -> None:
    bare = Layout(table="bare", columns=("a",))
    assert len(search(log([(None, (7,))], layout=bare), "bare", 7)[0]) == 1
    pairs = Layout(table="pairs", columns=("b", "a"), key=("a", "b"), rowid=False)
    logged = log([(None, ("x", RawText(b"\xff"))), (None, ("y", "1"))], layout=pairs)
    assert len(search(logged, "pairs", (RawText(b"\xff"), "x"))[0]) == 1
    assert len(search(logged, "pairs", (1, "y"))[0]) == 1
    assert search(logged, "pairs", ("x", "1"))[0] == []


@pytest.mark.parametrize(
    ("sql", "change"),
    [
        ("alter table a rename to b", ("a", "b")),
        ("ALTER TABLE main.[A b] RENAME TO `C`", ("a b", "c")),
        ("ALTER TABLE a RENAME x TO y", None),
        ("ALTER TABLE a RENAME COLUMN x TO y", None),
        ("DROP TABLE IF EXISTS main.a", ("a", None)),
        ('/* hm */ DROP TABLE "A";', ("a", None)),
        ("DROP INDEX a", None),
        ("CREATE TABLE a (b)", None),
        ("PRAGMA user_version = 3", None),
    ],
)
def test_what_happens_to_names_of_tables(sql: str, change: Any) -> None:
    assert table_change(sql) == change


def test_no_image_is_in_the_repr() -> None:
    versions, _ = search(log([(None, (1, "Ada Lovelace"))]), "people", 1)
    assert "Ada" not in repr(versions)


DECLARED = Layout(table="vdb_subject_columns", columns=("tbl", "col"), key=("tbl",))


def test_what_was_erased_says_when_and_by_whom() -> None:
    by_name = Layout(table="Patients", columns=("id", "name"), key=("id",))
    others = Layout(table="visits", columns=("number", "patient"), key=("number",))
    log_ = [
        *log([(None, ("patients", "ID")), (None, ("visits", "patient"))], layout=DECLARED),
        *log([], [], [(None, ("bob", "Bob"))], [], layout=by_name)[1:],
        *log([], layout=others),
    ]
    mine, theirs = b"a" * 32, b"b" * 32
    for number, tokens in ((1, (theirs, mine)), (2, (theirs,)), (3, (mine,)), (4, (mine,))):
        log_[number] = evolve(log_[number], erased=tokens)

    def told(table: str, key: Any, *tokens: bytes) -> list[tuple[str, str, Any, Any]]:
        found = HistorySearch(table, key, tokens)
        while found.wants_pass():
            for one in log_:
                found.feed(one)
        return [(one.operation.name, one.attribution.actor, one.before, one.after) for one in found.versions()]

    assert told("patients", "alice", mine) == [("ERASED", "actor 1", None, None), ("ERASED", "actor 3", None, None)]
    assert [one[0] for one in told("patients", "bob")] == ["INSERT"]
    assert told("patients", "alice") == []
    assert told("visits", "alice", mine) == [], "its key names nobody"
