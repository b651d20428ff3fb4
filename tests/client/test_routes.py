"""Where calls go: words that are believed, circles, and pauses."""

from __future__ import annotations

import pytest

from vdb.client.routes import AVOID_SECONDS, AVOID_SILENT_SECONDS, PAUSE_SECONDS_MAX, Routes
from vdb.types import GroupId

GROUP = GroupId("eu-west-1")


class NoJitter:
    def random_bytes(self, size: int) -> bytes:
        return bytes(size)

    def below(self, bound: int) -> int:
        return bound - 1


@pytest.fixture
def routes() -> Routes:
    return Routes(NoJitter(), ["a", "b", "c"])


def test_calls_start_at_the_first_address_and_groups_follow_each_other(routes: Routes) -> None:
    assert routes.of(None).address == "a"
    routes.move(None, "a", 0.0)
    assert routes.of(GROUP).address == "b"


def test_a_word_is_believed_at_once(routes: Routes) -> None:
    routes.move(GROUP, "a", 0.0, "c")
    assert (routes.of(GROUP).address, routes.of(GROUP).pause) == ("c", 0.0)


def test_without_a_word_it_goes_round_and_waits_longer_each_time(routes: Routes) -> None:
    seen, pauses = [], []
    for _ in range(12):
        address = routes.of(GROUP).address
        routes.move(GROUP, address, 0.0)
        seen.append(routes.of(GROUP).address)
        pauses.append(routes.of(GROUP).pause)
    assert seen[:4] == ["b", "c", "a", "b"]
    assert pauses[0] == 0.0
    assert pauses[1:] == sorted(pauses[1:])
    assert pauses[1] > 0.0
    assert pauses[-1] == pytest.approx(PAUSE_SECONDS_MAX, rel=0.01)


def test_two_nodes_that_name_each_other_are_not_asked_in_a_tight_loop(routes: Routes) -> None:
    routes.move(GROUP, "a", 0.0, "b")
    routes.move(GROUP, "b", 0.0, "a")
    assert (routes.of(GROUP).address, routes.of(GROUP).pause > 0) == ("a", True)


def test_a_success_makes_the_next_move_free(routes: Routes) -> None:
    routes.move(GROUP, "a", 0.0)
    routes.move(GROUP, "b", 0.0)
    routes.succeeded(GROUP)
    routes.of(GROUP).pause = 0.0
    routes.move(GROUP, "c", 0.0, "a")
    assert (routes.of(GROUP).address, routes.of(GROUP).pause) == ("a", 0.0)


def test_who_failed_just_now_is_not_believed_to_be_primary(routes: Routes) -> None:
    routes.failed("a", 10.0)
    routes.move(GROUP, "a", 10.0)
    routes.move(GROUP, "b", 10.0, "a")
    assert routes.of(GROUP).address == "c"
    routes.move(GROUP, "c", 10.0 + 2 * AVOID_SECONDS, "a")
    assert routes.of(GROUP).address == "a"


def test_who_answers_nothing_is_passed_over_for_longer(routes: Routes) -> None:
    routes.failed("b", 0.0, silent=True)
    routes.move(GROUP, "a", AVOID_SILENT_SECONDS / 2)
    assert routes.of(GROUP).address == "c"
    routes.reached("b")
    routes.move(GROUP, "c", AVOID_SILENT_SECONDS / 2, "b")
    assert routes.of(GROUP).address == "b"


def test_where_all_have_failed_it_goes_round_all_the_same(routes: Routes) -> None:
    for address in "abc":
        routes.failed(address, 0.0)
    routes.move(GROUP, "a", 0.0)
    assert routes.of(GROUP).address == "b"


def test_a_move_away_from_where_the_route_no_longer_is_changes_nothing(routes: Routes) -> None:
    routes.move(GROUP, "a", 0.0, "c")
    routes.move(GROUP, "a", 0.0)
    assert (routes.of(GROUP).address, routes.of(GROUP).pause) == ("c", 0.0)


def test_one_node_alone_is_waited_for(routes: Routes) -> None:
    alone = Routes(NoJitter(), ["a"])
    alone.move(GROUP, "a", 0.0)
    assert (alone.of(GROUP).address, alone.of(GROUP).pause > 0) == ("a", True)


def test_what_is_heard_of_joins_the_circle(routes: Routes) -> None:
    routes.learn("d")
    routes.learn("a")
    assert routes.addresses == ["a", "b", "c", "d"]


def test_a_route_leads_where_calls_have_been_made(routes: Routes) -> None:
    assert not routes.leads_to(GROUP, "a")
    routes.of(GROUP)
    assert (routes.leads_to(GROUP, "a"), routes.leads_to(GROUP, "b")) == (True, False)
    routes.introduced("a", (GroupId("us-east-1"),), {})
    assert (routes.leads_to(GROUP, "a"), routes.leads_to(GROUP, "b")) == (False, True)
