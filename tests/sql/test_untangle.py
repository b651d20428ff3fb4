"""The order of captured changes, put right."""

from __future__ import annotations

from vdb.changes import Image, Layout, Operation, RowChange, SchemaChange, Step
from vdb.sql.catalog import Nesting
from vdb.sql.untangle import untangle

LAYOUTS = (Layout(table="t", columns=("id", "up"), key=("id",)),)
LATE = Nesting(first=False, then=True, anything=False)
STALE = Nesting(first=True, then=False, anything=False)


def change(before: Image | None, after: Image | None) -> RowChange:
    operation = Operation.INSERT if before is None else Operation.DELETE if after is None else Operation.UPDATE
    rowids = [None if image is None else image[0] for image in (before, after)]
    assert all(rowid is None or isinstance(rowid, int) for rowid in rowids)
    return RowChange(
        layout=0,
        operation=operation,
        rowid_before=rowids[0],  # type: ignore[arg-type]
        rowid_after=rowids[1],  # type: ignore[arg-type]
        before=before,
        after=after,
    )


def test_what_is_in_order_stays() -> None:
    steps: list[Step] = [change(None, (1, 1)), change((1, 1), (1, 2)), change((1, 2), None), change(None, (1, 5))]
    assert untangle(LAYOUTS, steps, [LATE]) == steps
    assert untangle(LAYOUTS, steps, [STALE]) == steps


def test_a_cause_goes_before_its_effect() -> None:
    effect, cause = change((2, 1), (2, 2)), change((1, 1), (2, 1))
    assert untangle(LAYOUTS, [effect, cause], [LATE]) == [cause, effect]


def test_a_row_that_made_way_stays_in_front() -> None:
    steps: list[Step] = [change((3, 0), None), change((3, 2), (3, 0)), change((2, 2), (3, 2))]
    assert untangle(LAYOUTS, steps, [LATE]) == [steps[0], steps[2], steps[1]]


def test_an_image_from_before_its_trigger_is_replaced() -> None:
    steps: list[Step] = [change((1, 1), (1, 7)), change((1, 1), (1, 3))]
    assert untangle(LAYOUTS, steps, [STALE]) == [steps[0], change((1, 7), (1, 3))]


def test_storage_classes_count() -> None:
    steps: list[Step] = [change((1, 1), (1, 2.0)), change((1, 2), (1, 3))]
    assert untangle(LAYOUTS, steps, [STALE])[1] == change((1, 2.0), (1, 3))
    assert isinstance(untangle(LAYOUTS, steps, [STALE])[1].before[1], float)  # type: ignore[union-attr, index]


def test_nothing_moves_across_a_change_of_the_schema() -> None:
    steps: list[Step] = [change((2, 1), (2, 2)), SchemaChange(sql="ALTER TABLE t ..."), change((1, 1), (2, 1))]
    assert untangle(LAYOUTS, steps, [LATE]) == steps
