import pytest

from vdb.kernel.draft import Draft
from vdb.kernel.state import State
from vdb.kernel.tables import Table
from vdb.types import GroupId

EMPTY = State.empty(GroupId("eu-west-1"), 4)


def test_time_must_rise() -> None:
    later = Draft(EMPTY, 5).freeze()
    with pytest.raises(AssertionError, match="expected a time above 5, found 5"):
        Draft(later, 5)


def test_a_draft_leaves_its_base_alone() -> None:
    draft = Draft(EMPTY, 5)
    draft.put(Table.KEYS, b"k", b"v")
    assert EMPTY.rows[Table.KEYS].get(b"k") is None
    assert draft.freeze().rows[Table.KEYS][b"k"] == b"v"


def test_only_a_row_that_is_there_is_removed() -> None:
    with pytest.raises(KeyError):
        Draft(EMPTY, 5).remove(Table.KEYS, b"k")
