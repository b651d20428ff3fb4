"""What the judges of reads and appends take, and what they don't: histories written by hand."""

from __future__ import annotations

from typing import Any, cast

from sim.checkers.contents import Contents
from sim.checkers.events_log import EventsLog, LoggedFact, check_appends
from sim.checkers.events_reads import ReadsJudge
from sim.events.deeds import Appending, Deeds, Fate, Folding, Reading, Seen
from sim.events.kinds import MOVED, Fact, link
from sim.verdict import Verdict

STREAM = "ev-bed-1"
EVENTS = [
    LoggedFact(
        position=10 + at, stream=STREAM, offset=at, fact=Fact(number=at + 1, type=MOVED, patient="p", ward=at, by="e0")
    )
    for at in range(4)
]


def log() -> EventsLog:
    found = EventsLog(contents=cast(Contents, None), verdict=Verdict(), tenant=1)
    found.events = list(EVENTS)
    found.by_number = {one.fact.number: one for one in EVENTS}
    return found


def seen(*offsets: int, time: int = 0) -> list[Seen]:
    return [
        Seen(
            position=one.position, stream=STREAM, offset=one.offset, time=time or 100 + one.offset,
            event_id=one.fact.event_id, actor="e0", subject="p", told=(one.fact.number, "p", one.fact.ward, False),
        )
        for one in (EVENTS[at] for at in offsets)
    ]  # fmt: skip


def broken(*offsets: int, acknowledged: int = 14, **more: Any) -> str:
    deeds = Deeds()
    deeds.appends.append(Appending(who="e0", asked=1, told=2, fate=Fate.DONE, parts={}, position=acknowledged))
    deeds.reads.append(Reading(who="e1", asked=3, told=4, fate=Fate.DONE, stream=STREAM, seen=seen(*offsets), **more))
    verdict = Verdict()
    ReadsJudge(verdict, log(), deeds).check()
    return "" if verdict.violation is None else verdict.violation.invariant


def test_reads_forward() -> None:
    assert broken(0, 1, 2, 3) == ""
    assert broken(0, 2, 3) == "E2"
    assert broken(0, 1, 1, 2) == "E2"
    assert broken(0, 1, 2) == "E3"
    assert broken(0, 1, 2, acknowledged=13) == ""
    assert broken(0, 1, most=2) == ""
    assert broken(2, 3, start="offset", place=2) == ""
    assert broken(1, 2, 3, start="position", place=12) == "E2"


def test_reads_backward() -> None:
    assert broken(3, 2, 1, 0, backward=True) == ""
    assert broken(2, 1, 0, backward=True) == "E3"
    assert broken(2, 1, 0, backward=True, acknowledged=13) == ""
    assert broken(3, 2, 1, backward=True) == "E3"
    assert broken(1, 0, backward=True, start="offset", place=2) == ""
    assert broken(backward=True, start="offset", place=2, acknowledged=0) == ""


def test_reads_from_a_time() -> None:
    assert broken(1, 2, 3, start="time", place=101) == ""
    assert broken(0, 1, 2, 3, start="time", place=101) == "E4"
    assert broken(0, backward=True, start="time", place=101) == ""


def test_aggregates() -> None:
    def fold(events: int, chain: str, next_offset: int) -> str:
        deeds = Deeds()
        deeds.foldings.append(
            Folding(
                who="e1", asked=3, told=4, fate=Fate.DONE, stream=STREAM, events=events, chain=chain,
                next_offset=next_offset,
            )
        )  # fmt: skip
        verdict = Verdict()
        ReadsJudge(verdict, log(), deeds).check()
        return "" if verdict.ok else "broken"

    assert fold(2, link(link("", 1), 2), 2) == ""
    assert fold(2, link(link("", 2), 1), 2) == "broken"
    assert fold(1, link("", 1), 2) == "broken"


def test_appends() -> None:
    facts = tuple(one.fact for one in EVENTS)

    def holds(parts: tuple[Fact, ...], fate: Fate, first: int) -> bool:
        deeds = Deeds()
        deed = Appending(who="e0", asked=1, told=2, fate=fate, parts={STREAM: parts}, offsets={STREAM: first})
        deeds.appends.append(deed)
        verdict = Verdict()
        check_appends(verdict, log(), deeds)
        return verdict.ok

    assert holds(facts, Fate.DONE, 0)
    assert holds(facts, Fate.UNKNOWN, 0)
    assert not holds(facts, Fate.DONE, 1)
    assert not holds(facts, Fate.REFUSED, 0)
    assert not holds(facts[:3], Fate.DONE, 0), "one of the log is nobody's"
    missing = Fact(number=9, type=MOVED, patient="p", ward=0, by="e0")
    assert not holds((*facts, missing), Fate.DONE, 0)
