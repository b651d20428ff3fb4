"""A recording keeps events in order, faults in a row as one, and the last lines of each lane."""

from __future__ import annotations

from sim.timeline.recording import LAST_LINES, Recording
from sim.trace import Trace
from vdb.vsr.message import PrepareOk


def test_the_trace_tells_onlookers_only_while_somebody_records() -> None:
    trace = Trace(lambda: 1)
    digest = trace.digest()
    trace.event("n0.1", "status", "normal", view=1)
    trace.recording = recording = Recording(lambda: 5)
    message = PrepareOk(view=2, op=7, checksum=b"\xab" * 32, replica=0)
    trace.event("n0.1", "status", "normal", view=1, group="eu")
    trace.sent("n0.1", "n1", message, "eu")
    trace.received("n1.1", "n0", message, "eu")
    trace.fault("n1.1", "disk.torn")
    assert trace.digest() == digest
    assert [(event.lane, event.kind, event.text, event.peer) for event in recording.events] == [
        ("n0.1", "status", "normal", ""),
        ("n0.1", "send", "prepare_ok view 2 op 7", "n1"),
        ("n1.1", "receive", "prepare_ok view 2 op 7", "n0"),
        ("n1.1", "fault", "disk.torn", ""),
    ]
    assert [event.group for event in recording.events] == ["eu", "eu", "eu", ""]
    assert {event.time_ns for event in recording.events} == {5}


def test_what_the_digest_holds_is_recorded_too() -> None:
    trace = Trace(lambda: 1)
    trace.recording = Recording(lambda: 1)
    trace.add("n0.1", "crash")
    assert [event.kind for event in trace.recording.events] == ["crash"]


def test_faults_of_one_moment_are_one_event() -> None:
    now = 1
    recording = Recording(lambda: now)
    for kind in ("disk.torn", "disk.lost_unsynced", "disk.torn"):
        recording.fault("n0.1", kind)
    recording.fault("n1.1", "disk.torn")
    now = 2
    recording.fault("n1.1", "disk.torn")
    assert [(event.lane, event.text, dict(event.details)) for event in recording.events] == [
        ("n0.1", "disk.torn x2, disk.lost_unsynced", {"disk.torn": 2, "disk.lost_unsynced": 1}),
        ("n1.1", "disk.torn", {"disk.torn": 1}),
        ("n1.1", "disk.torn", {"disk.torn": 1}),
    ]


def test_the_last_lines_are_kept_by_machine_over_its_lives() -> None:
    recording = Recording(lambda: 1_500_000_000)
    for number in range(LAST_LINES):
        recording.event("n0.1", "commit", f"op {number}", {"group": "eu"})
    recording.event("n0.2", "start", "", {})
    recording.event("c0", "call", "append", {})
    lines = recording.last_lines()
    assert list(lines) == ["n0", "c0"]
    assert len(lines["n0"]) == LAST_LINES
    assert lines["n0"][0] == "   1.500000000 n0.1     commit     op 1 (eu)"
    assert lines["n0"][-1] == "   1.500000000 n0.2     start"
