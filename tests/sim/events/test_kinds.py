"""The events of simulations: both ways of writing them give the same fact, and old ones are brought up to date."""

from __future__ import annotations

from random import Random

import attrs

import vdb.events
from sim.events.kinds import MOVED, TYPES, Fact, draw_fact, read_fact, runs_of, told_fact
from vdb.types import DataClass, GroupId, Position
from vdb.wire.event import ENVELOPE_SCHEMA


def _told(payload: bytes) -> tuple[int, str, int, bool]:
    recorded = vdb.events.record_from(
        payload, ENVELOPE_SCHEMA, "ev-visit-1", 0, Position(GroupId("here"), 0), 0, None, DataClass.PHI
    )
    assert recorded is not None
    return told_fact(recorded.event)


def test_what_is_written_is_read_again() -> None:
    random = Random(1)
    facts = [draw_fact(random, number, patients=3, poison=0.2, by="e1") for number in range(1, 60)]
    assert {fact.type for fact in facts} == set(TYPES)
    assert any(fact.old for fact in facts)
    for fact in facts:
        assert read_fact(fact.payload()) == fact
        assert _told(fact.payload()) == (fact.number, fact.patient, fact.ward, fact.poisoned)


def test_an_old_move_is_brought_up_to_date() -> None:
    old = Fact(number=3, type=MOVED, patient="p", ward=4, old=True)
    assert _told(old.payload()) == _told(attrs.evolve(old, old=False).payload())


def test_runs_are_of_one_patient() -> None:
    facts = [Fact(number=at, type=MOVED, patient=f"p{at // 2}", ward=0) for at in range(5)]
    assert [len(run.payloads) for run in runs_of(facts)] == [2, 2, 1]


def test_what_is_no_fact() -> None:
    assert read_fact(b"") is None
    assert told_fact(b"") == told_fact(None)
