"""A draft: several requests on one set of open maps, frozen into states that never change again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.kernel.draft import Draft
from vdb.kernel.effect import WakeProjection
from vdb.kernel.state import State
from vdb.kernel.tables import Table
from vdb.types import GroupId, TenantId

EMPTY = State.empty(GroupId("eu-west-1"), 4)


def test_time_must_rise() -> None:
    later = Draft(EMPTY, 5).freeze()
    with pytest.raises(AssertionError, match="expected a time above 5, found 5"):
        Draft(later, 5)
    draft = Draft(later, 6)
    with pytest.raises(AssertionError, match="expected a time above 6, found 6"):
        draft.start(6)


def test_a_draft_leaves_its_base_alone() -> None:
    draft = Draft(EMPTY, 5)
    draft.put(Table.KEYS, b"k", b"v")
    assert EMPTY.rows[Table.KEYS].get(b"k") is None
    assert draft.freeze().rows[Table.KEYS][b"k"] == b"v"


def test_only_a_row_that_is_there_is_removed() -> None:
    with pytest.raises(KeyError):
        Draft(EMPTY, 5).remove(Table.KEYS, b"k")


def test_a_frozen_state_stays_as_it_is_while_the_draft_goes_on() -> None:
    draft = Draft(EMPTY, 5)
    draft.put(Table.KEYS, b"k", b"first")
    first = draft.freeze()
    draft.start(6)
    draft.put(Table.KEYS, b"k", b"second")
    draft.put(Table.CLIENTS, b"c", b"x")
    second = draft.freeze()
    assert (first.rows[Table.KEYS][b"k"], first.last_timestamp) == (b"first", 5)
    assert (second.rows[Table.KEYS][b"k"], second.last_timestamp) == (b"second", 6)
    assert dict(first.changed[Table.KEYS]) == {b"k": b"first"}
    assert not first.changed[Table.CLIENTS]


def test_the_base_is_the_state_before_the_request() -> None:
    draft = Draft(EMPTY, 5)
    assert draft.base is EMPTY
    draft.put(Table.KEYS, b"k", b"v")
    assert draft.base is EMPTY
    draft.start(6)
    base = draft.base
    draft.remove(Table.KEYS, b"k")
    assert base is draft.base
    assert base.rows[Table.KEYS][b"k"] == b"v"


def test_a_base_that_was_not_asked_for_in_time_is_a_bug() -> None:
    draft = Draft(EMPTY, 5)
    draft.start(6)
    draft.put(Table.KEYS, b"k", b"v")
    with pytest.raises(AssertionError, match="asked for after a change"):
        assert draft.base


def test_a_settled_table_can_be_walked_and_changed_again() -> None:
    draft = Draft(EMPTY, 5)
    assert not draft.settled(Table.KEYS)
    draft.put(Table.KEYS, b"a", b"1")
    settled = draft.settled(Table.KEYS)
    draft.put(Table.KEYS, b"b", b"2")
    assert dict(settled) == {b"a": b"1"}
    assert dict(draft.settled(Table.KEYS)) == {b"a": b"1", b"b": b"2"}


def test_a_tenant_is_woken_once() -> None:
    draft = Draft(EMPTY, 5)
    for tenant in (2, 1, 2):
        draft.wake(TenantId(tenant))
    assert draft.effects == [WakeProjection(TenantId(2)), WakeProjection(TenantId(1))]


KEYS = st.sampled_from([b"a", b"b", b"c"])


@given(st.lists(st.lists(st.tuples(KEYS, st.sampled_from([b"1", b"2", None])), max_size=4), max_size=6), st.data())
def test_one_draft_of_many_requests_makes_what_many_drafts_make(requests, data) -> None:
    """None removes; the draft is frozen in between whenever it pleases."""
    one = Draft(EMPTY, 1)
    state = EMPTY
    for time, changes in enumerate(requests, 2):
        one.start(time)
        draft = Draft(state, time)
        for key, value in changes:
            for each in (one, draft):
                if value is not None:
                    each.put(Table.KEYS, key, value)
                elif key in each.rows[Table.KEYS]:
                    each.remove(Table.KEYS, key)
        state = draft.freeze()
        if data.draw(st.booleans()):
            assert one.freeze() == state
    assert one.freeze().rows == state.rows
    assert one.freeze().changed == state.changed
