"""Events of a made-up run of three nodes and two clients, and a result for it."""

from __future__ import annotations

import pytest

from sim.result import Result
from sim.timeline.event import Detail, Event
from sim.verdict import Violation


def event(
    at: int, lane: str, kind: str, text: str = "", *, group: str = "", peer: str = "", **details: Detail
) -> Event:
    return Event(time_ns=at, lane=lane, kind=kind, text=text, group=group, peer=peer, details=details)


@pytest.fixture
def broken() -> Result:
    return Result(
        seed=9, digest="d", commit="abc", virtual_seconds=1, wall_seconds=1, events=1, ops_committed=3,
        faults={"disk.torn": 2, "net.cut": 0}, checks={}, marks=(), violation=Violation("I5", "op 7 </script> is gone"),
    )  # fmt: skip


@pytest.fixture
def events() -> list[Event]:
    ok = {"type": "prepare_ok", "op": 7}
    return [
        event(1, "n0.1", "status", group="eu", view=1, status="normal", primary=False),
        event(2, "n1.1", "status", group="eu", view=1, status="normal", primary=True),
        event(3, "c0", "call", "append", group="eu", call=1),
        event(4, "c0", "call", "read", group="eu", call=2),
        event(5, "n0.1", "send", "prepare_ok op 7", group="eu", peer="n1", **ok),
        event(6, "n0.1", "send", "prepare_ok op 7", group="eu", peer="n1", **ok),
        event(7, "n0.1", "send", "prepare_ok op 7", group="global", peer="n1", **ok),
        event(8, "net", "cut", "stall n0 and n1", peer="n0,n1", order="stall"),
        event(9, "n1.1", "receive", "prepare_ok op 7", group="eu", peer="n0", **ok),
        event(10, "c0", "answer", "append ok", group="eu", call=1, outcome="ok"),
        event(11, "n1.1", "crash"),
        event(12, "n1.1", "fault", "disk.lost_unsynced"),
        event(13, "n1.2", "start"),
        event(14, "n2.1", "paused"),
        event(15, "n2.1", "resumed"),
        event(16, "net", "heal", "heal everything", order="heal"),
        event(17, "run", "violation", "I5: op 7 is gone", invariant="I5"),
    ]
