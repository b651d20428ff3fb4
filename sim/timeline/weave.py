"""Events to what a diagram needs: lanes, arrows from sends to receives, and spans of views, lives, calls and cuts.

An event's place is its index: events are in the order of their time. A span ends at an index too; -1 where the run
ended first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from sim.timeline.describe import is_client
from sim.timeline.event import KINDS, Event

WORLD = "world"
"""The lane of nemesis, network and run."""
CALL_ROWS = 4
"""Calls of one client that are drawn beneath each other."""
TELLING = ("type", "view", "op", "commit", "checksum", "nonce", "first", "last", "round", "number", "offset")
"""Details that tell one message from another, sent and received; others may be left behind on the way."""
_LOSING = ("cut", "drop", "half_open", "reset")
_ENDS = ("crash", "ended")


def machine(lane: str) -> str:
    """The lane that an event is drawn in."""
    if lane in ("nemesis", "net", "run"):
        return WORLD
    return lane.partition(".")[0]


def lane_names(events: Sequence[Event]) -> list[str]:
    """The world first, then nodes, then clients, each by number."""
    names = {machine(event.lane): None for event in events}
    names |= {event.peer: None for event in events if event.kind in ("send", "receive")}

    def place(name: str) -> tuple[int, int, str]:
        number = int(name[1:]) if name[1:].isdigit() else 0
        return (0 if name == WORLD else 2 if is_client(name) else 1), number, name

    return sorted(names, key=place)


def arrows(events: Sequence[Event]) -> list[int]:
    """For each send the index of its receive and the other way round; -1 where there is none.

    Equal messages on one way arrive in the order in which they were sent, as on any connection. What is under way to a
    machine when it dies or starts never arrives, nor what is sent over a link while it loses everything.
    """
    other = [-1] * len(events)
    under_way: dict[tuple[str, str], dict[tuple[object, ...], deque[int]]] = {}
    lossy: dict[tuple[str, str], None] = {}
    for index, event in enumerate(events):
        here = machine(event.lane)
        if event.kind == "send" and (here, event.peer) not in lossy:
            under_way.setdefault((here, event.peer), {}).setdefault(_content(event), deque()).append(index)
        elif event.kind == "receive":
            waiting = under_way.get((event.peer, here), {}).get(_content(event))
            if waiting:
                start = waiting.popleft()
                other[start], other[index] = index, start
        elif event.kind in (*_ENDS, "start"):
            for way in [way for way in under_way if way[1] == here]:
                del under_way[way]
        elif event.kind in ("cut", "heal"):
            _note_link(event, under_way, lossy)
    return other


def _note_link(event: Event, under_way: dict[tuple[str, str], Any], lossy: dict[tuple[str, str], None]) -> None:
    """What the nemesis did to a link, or undid to some or all."""
    ends = tuple(event.peer.split(",")) if event.peer else ()
    if event.kind == "heal":
        for way in [way for way in lossy if all(end in way for end in ends)]:
            del lossy[way]
    elif len(ends) == 2 and event.details.get("order") in _LOSING:
        one_way = event.details.get("order") == "drop"
        for way in ((ends[0], ends[1]),) if one_way else ((ends[0], ends[1]), (ends[1], ends[0])):
            under_way.pop(way, None)
            if event.details.get("order") in ("drop", "cut"):
                lossy[way] = None


def _content(event: Event) -> tuple[object, ...]:
    return event.group, *(event.details.get(name) for name in TELLING)


@define
class Spans:
    """Each span is (lane, from, to, ...): indexes of events."""

    views: list[dict[str, Any]] = field(factory=list)
    downs: list[dict[str, Any]] = field(factory=list)
    calls: list[dict[str, Any]] = field(factory=list)
    cuts: list[dict[str, Any]] = field(factory=list)


def spans(events: Sequence[Event]) -> Spans:
    """Views and statuses per group, times without a running node, calls, cut links."""
    return Spans(views=_views(events), downs=_downs(events), calls=_calls(events), cuts=_cuts(events))


def _views(events: Sequence[Event]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    running: dict[tuple[str, str], dict[str, Any]] = {}
    for index, event in enumerate(events):
        lane = machine(event.lane)
        if event.kind in _ENDS:
            for key in [key for key in running if key[0] == lane]:
                running.pop(key)["to"] = index
        elif event.kind == "status":
            before = running.pop((lane, event.group), None)
            if before is not None:
                before["to"] = index
            told = {name: event.details.get(name) for name in ("view", "status", "primary")}
            span = {"lane": lane, "group": event.group, "from": index, "to": -1, **told}
            running[lane, event.group] = span
            found.append(span)
    return found


def _downs(events: Sequence[Event]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    down: dict[str, dict[str, Any]] = {}
    for index, event in enumerate(events):
        lane = machine(event.lane)
        if event.kind in (*_ENDS, "paused"):
            if lane in down and down[lane]["why"] != "paused":
                continue
            if lane in down:
                down.pop(lane)["to"] = index
            down[lane] = {"lane": lane, "from": index, "to": -1, "why": event.kind}
            found.append(down[lane])
        elif event.kind in ("start", "resumed") and lane in down:
            down.pop(lane)["to"] = index
    return found


def _calls(events: Sequence[Event]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    running: dict[object, dict[str, Any]] = {}
    rows: dict[str, list[object]] = {}
    for index, event in enumerate(events):
        call = event.details.get("call")
        if event.kind == "call":
            taken = rows.setdefault(event.lane, [None] * CALL_ROWS)
            row = taken.index(None) if None in taken else CALL_ROWS - 1
            taken[row] = call
            running[call] = {
                "lane": event.lane, "group": event.group, "from": index, "to": -1, "row": row, "outcome": "pending"
            }  # fmt: skip
            found.append(running[call])
        elif event.kind == "answer" and call in running:
            span = running.pop(call)
            span["to"], span["outcome"] = index, event.details.get("outcome")
            if rows[event.lane][span["row"]] == call:
                rows[event.lane][span["row"]] = None
    return found


def _cuts(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Links that the nemesis cut, until it heals them, one of their ends, or everything."""
    found: list[dict[str, Any]] = []
    for index, event in enumerate(events):
        ends = event.peer.split(",") if event.peer else []
        if event.kind == "heal":
            for span in found:
                if span["to"] == -1 and all(end in span["ends"] for end in ends):
                    span["to"] = index
        elif event.kind == "cut" and event.details.get("order") not in ("reset", "half_open"):
            found.append({"from": index, "to": -1, "ends": ends, "text": event.text})
    return found


def columns(events: Sequence[Event], lanes: Sequence[str]) -> Mapping[str, Any]:
    """The events column by column: a tenth of the size of objects, and quick to read."""
    number = {name: index for index, name in enumerate(lanes)}
    kinds = [*KINDS, *sorted({event.kind for event in events} - set(KINDS))]
    kind_number = {name: index for index, name in enumerate(kinds)}
    groups = sorted({event.group for event in events if event.group})
    group_number = {name: index for index, name in enumerate(groups)} | {"": -1}
    types = sorted({str(event.details["type"]) for event in events if event.kind in ("send", "receive")})
    type_number = {name: index for index, name in enumerate(types)}
    return {
        "kinds": kinds,
        "groups": groups,
        "types": types,
        "time": [event.time_ns for event in events],
        "lane": [number[machine(event.lane)] for event in events],
        "who": [event.lane for event in events],
        "kind": [kind_number[event.kind] for event in events],
        "group": [group_number[event.group] for event in events],
        "type": [type_number.get(str(event.details.get("type")), -1) for event in events],
        "peer": [number.get(event.peer, -1) for event in events],
        "other": arrows(events),
        "text": [event.text for event in events],
        "details": [{name: value for name, value in event.details.items() if name != "type"} for event in events],
    }
