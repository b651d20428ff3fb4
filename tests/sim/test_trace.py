"""The trace's digest depends on every event, and its lines are readable."""

from __future__ import annotations

from sim.trace import LAST_EVENTS, Trace


def trace_of(*kinds: str) -> Trace:
    trace = Trace(lambda: 1_500_000_000)
    for kind in kinds:
        trace.add("n0.1", kind, "global", 7, b"\xab" * 32)
    return trace


def test_digest_depends_on_order_and_content() -> None:
    assert trace_of("prepare", "commit").digest() == trace_of("prepare", "commit").digest()
    assert trace_of("prepare", "commit").digest() != trace_of("commit", "prepare").digest()
    assert trace_of("prepare").digest() != trace_of("prepare", "prepare").digest()


def test_lines_tell_when_who_and_what() -> None:
    assert trace_of("commit").last_lines() == {"n0": ("   1.500000000 n0.1     commit global 7 abababababab",)}


def test_only_the_last_events_are_kept() -> None:
    trace = trace_of(*["commit"] * (LAST_EVENTS + 10))
    assert trace.events == LAST_EVENTS + 10
    assert len(trace.last_lines()["n0"]) == LAST_EVENTS
