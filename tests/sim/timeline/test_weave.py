"""Lanes, arrows and spans are what the events say."""

from __future__ import annotations

from sim.timeline.event import KINDS, Event
from sim.timeline.weave import arrows, columns, lane_names, spans


def test_lanes_are_the_world_then_nodes_then_clients_by_number() -> None:
    lanes = ("c10", "n10.1", "nemesis", "c2", "n2.4", "n2.5", "run", "net")
    events = [Event(time_ns=1, lane=lane, kind="x") for lane in lanes]
    assert lane_names(events) == ["world", "n2", "n10", "c2", "c10"]


def test_who_is_only_sent_to_has_a_lane_too() -> None:
    assert lane_names([Event(time_ns=1, lane="n0.1", kind="send", peer="n4", details={"type": "ping"})]) == ["n0", "n4"]


def test_a_receive_belongs_to_the_earliest_equal_send_of_its_group(events: list[Event]) -> None:
    other = arrows(events)
    assert (other[4], other[8]) == (8, 4)
    assert other[5] == other[6] == -1
    assert other.count(-1) == len(events) - 2


def message(kind: str, lane: str, peer: str) -> Event:
    return Event(time_ns=1, lane=lane, kind=kind, peer=peer, details={"type": "ping", "view": 1})


def test_what_is_under_way_to_a_machine_that_dies_never_arrives() -> None:
    send, receive = message("send", "n0.1", "n1"), message("receive", "n1.2", "n0")
    crash, start = (Event(time_ns=1, lane=lane, kind=kind) for lane, kind in (("n1.1", "crash"), ("n1.2", "start")))
    assert arrows([send, crash, send, start, send, receive]) == [-1, -1, -1, -1, 5, 4]


def test_a_link_that_drops_loses_what_is_sent_until_it_heals() -> None:
    send, back = message("send", "n0.1", "n1"), message("send", "n1.1", "n0")
    receive, receive_back = message("receive", "n1.1", "n0"), message("receive", "n0.1", "n1")
    drop = Event(time_ns=1, lane="net", kind="cut", peer="n0,n1", details={"order": "drop"})
    heal = Event(time_ns=1, lane="net", kind="heal", details={"order": "heal"})
    events = [send, drop, send, back, receive_back, heal, send, receive]
    assert arrows(events) == [-1, -1, -1, 4, 3, -1, 7, 6]


def test_views_end_with_the_life_and_downs_with_the_next_start(events: list[Event]) -> None:
    found = spans(events)
    assert [(span["lane"], span["from"], span["to"], span["primary"]) for span in found.views] == [
        ("n0", 0, -1, False),
        ("n1", 1, 10, True),
    ]
    assert [(span["lane"], span["from"], span["to"], span["why"]) for span in found.downs] == [
        ("n1", 10, 12, "crash"),
        ("n2", 13, 14, "paused"),
    ]


def test_a_crash_ends_a_pause() -> None:
    kinds = ("paused", "crash", "resumed")
    found = spans([Event(time_ns=at, lane="n0.1", kind=kind) for at, kind in enumerate(kinds)])
    assert [(span["why"], span["from"], span["to"]) for span in found.downs] == [("paused", 0, 1), ("crash", 1, 2)]


def test_calls_at_once_lie_in_rows_of_their_own(events: list[Event]) -> None:
    found = spans(events).calls
    assert [(span["row"], span["to"], span["outcome"]) for span in found] == [(0, 9, "ok"), (1, -1, "pending")]


def test_a_cut_lasts_until_it_is_healed(events: list[Event]) -> None:
    assert [(span["from"], span["to"], span["ends"]) for span in spans(events).cuts] == [(7, 15, ["n0", "n1"])]


def test_healing_one_link_leaves_the_others_cut() -> None:
    events = [
        Event(time_ns=1, lane="net", kind="cut", peer="n0,n1", details={"order": "stall"}),
        Event(time_ns=2, lane="net", kind="cut", peer="n0,n2", details={"order": "drop"}),
        Event(time_ns=3, lane="net", kind="cut", peer="n0,n2", details={"order": "reset"}),
        Event(time_ns=4, lane="net", kind="heal", peer="n0,n2", details={"order": "heal"}),
    ]
    assert [span["to"] for span in spans(events).cuts] == [-1, 3]


def test_columns_are_as_long_as_the_run_and_name_kinds_that_are_new(events: list[Event]) -> None:
    events = [*events, Event(time_ns=18, lane="n0.1", kind="sneeze")]
    table = columns(events, lane_names(events))
    assert table["kinds"] == [*KINDS, "sneeze"]
    assert table["groups"] == ["eu", "global"]
    assert table["types"] == ["prepare_ok"]
    lists = [
        table[name] for name in ("time", "lane", "who", "kind", "group", "type", "peer", "other", "text", "details")
    ]
    assert {len(column) for column in lists} == {len(events)}
