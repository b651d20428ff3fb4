"""Recording a run changes nothing of it, and hears what happens."""

from __future__ import annotations

from collections import Counter

from sim.bugs.catalogue import find_bug
from sim.run import run_seed
from sim.timeline.attach import HeardCounts, attach
from sim.timeline.recording import Recording

QUICK = {"requests": 25, "nodes": 1}


def test_a_recorded_run_is_the_same_run() -> None:
    found: list[Recording] = []
    alone = run_seed(2, overrides=QUICK)
    heard = run_seed(2, overrides=QUICK, attach=lambda simulation: found.append(attach(simulation)))
    assert heard.digest == alone.digest
    assert (heard.faults, heard.checks, heard.virtual_seconds) == (alone.faults, alone.checks, alone.virtual_seconds)
    events = found[0].events
    assert [event.time_ns for event in events] == sorted(event.time_ns for event in events)
    kinds = {event.kind for event in events}
    assert {"start", "up", "status", "prepare", "durable", "send", "commit", "call", "answer", "superblock"} <= kinds
    assert {"eu-west-1", "global"} <= {event.group for event in events}


def test_a_violation_is_heard_when_it_is_seen() -> None:
    found: list[Recording] = []
    result = run_seed(2, overrides=QUICK, bug=find_bug("1"), attach=lambda sim: found.append(attach(sim)))
    assert result.violation is not None
    violations = [event for event in found[0].events if event.kind == "violation"]
    assert [event.details["invariant"] for event in violations] == [result.violation.invariant]
    assert str(violations[0].details["right_after_an_event_of"]).startswith("n0.")


def test_counts_are_heard_and_still_counted_together() -> None:
    total = Counter({"disk.torn": 1})
    told: list[str] = []
    counts = HeardCounts(total, told.append)
    counts["disk.torn"] += 1
    counts["disk.slow"] += 1
    counts["disk.torn"] += 2
    assert total == {"disk.torn": 4, "disk.slow": 1}
    assert told == ["disk.torn", "disk.torn"]
