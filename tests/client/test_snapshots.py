"""Snapshots are copies, of the newest state, and not too many."""

from __future__ import annotations

import threading

from vdb.client.snapshots import SNAPSHOT_EVENTS_MIN, SNAPSHOTS_MAX, Snapshots

MANY = SNAPSHOT_EVENTS_MIN


def test_what_is_kept_and_given_is_a_copy() -> None:
    held = Snapshots()
    state = [1]
    held.keep(list, "s", MANY, state)
    state.append(2)
    found = held.find(list, "s", None)
    assert found == (MANY, [1])
    found[1].append(3)
    assert held.find(list, "s", None) == (MANY, [1])
    assert held.find(dict, "s", None) is None
    assert held.find(list, "t", None) is None


def test_the_newest_is_kept_and_found_where_it_is_not_too_new() -> None:
    held = Snapshots()
    held.keep(list, "s", MANY + 5, [1])
    held.keep(list, "s", MANY, [2])
    assert held.find(list, "s", MANY + 4) is None
    assert held.find(list, "s", MANY + 5) == (MANY + 5, [1])
    held.keep(list, "s", MANY + 9, [3])
    assert held.find(list, "s", None) == (MANY + 9, [3])


def test_states_of_few_events_are_folded_anew() -> None:
    held = Snapshots()
    held.keep(list, "s", MANY - 1, [1])
    assert held.find(list, "s", None) is None


def test_the_oldest_gives_way() -> None:
    held = Snapshots()
    for number in range(SNAPSHOTS_MAX + 2):
        held.keep(list, str(number), MANY, number)
    assert held.find(list, "0", None) is None
    assert held.find(list, "1", None) is None
    assert held.find(list, "2", None) == (MANY, 2)
    held.clear()
    assert held.find(list, "2", None) is None


def test_what_is_used_again_stays() -> None:
    held = Snapshots()
    for number in range(SNAPSHOTS_MAX):
        held.keep(list, str(number), MANY, number)
    held.keep(list, "0", MANY, 0)
    held.keep(list, "more", MANY, 1)
    assert held.find(list, "0", None) == (MANY, 0)
    assert held.find(list, "1", None) is None


def test_a_state_that_cannot_be_copied_is_folded_anew() -> None:
    held = Snapshots()
    held.keep(list, "s", MANY, [threading.Lock()])
    assert held.find(list, "s", None) is None
