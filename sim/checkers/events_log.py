"""The typed streams as the log has them, and what clients were told of their appends.

E1  an append that was acknowledged is in the log, whole, once, where its client was told; what was definitely refused
    isn't, and nothing is that nobody meant
"""

from __future__ import annotations

from attrs import define, field, frozen

from sim.checkers.consumer_deeds import Due
from sim.checkers.contents import Contents
from sim.events.deeds import ConsumerSpec, Deeds, Fate
from sim.events.kinds import PREFIX, Fact, read_fact
from sim.verdict import Verdict


@frozen(kw_only=True)
class LoggedFact:
    """One event of the log."""

    position: int
    stream: str
    offset: int
    fact: Fact


@define
class EventsLog:
    """`contents` are of the group that the streams lie in. `catch_up` opens what was committed since."""

    contents: Contents
    verdict: Verdict
    tenant: int
    events: list[LoggedFact] = field(factory=list)
    by_number: dict[int, LoggedFact] = field(factory=dict)
    _seen: int = 0

    @property
    def head(self) -> int:
        """Behind the last event."""
        return self.events[-1].position + 1 if self.events else 0

    def catch_up(self) -> None:
        self.contents.catch_up()
        opened = self.contents.events.get(self.tenant, [])
        for event in opened[self._seen :]:
            if event.stream.name.startswith(PREFIX):
                self._add(event.position, event.stream.name, event.offset, event.payload)
        self._seen = len(opened)

    def _add(self, position: int, stream: str, offset: int, payload: bytes) -> None:
        fact = read_fact(payload)
        if not self.verdict.check("E1", fact is not None, f"{stream} at {offset} is no event of a client"):
            return
        assert fact is not None
        before = self.by_number.get(fact.number)
        self.verdict.check(
            "E1", before is None, f"event {fact.number} is in the log at {before and before.position} and {position}"
        )
        logged = LoggedFact(position=position, stream=stream, offset=offset, fact=fact)
        self.events.append(logged)
        self.by_number[fact.number] = logged

    def fitting(self, spec: ConsumerSpec) -> list[Due]:
        """What a consumer is to be given, in the order of the log."""
        return [
            Due(
                position=one.position, stream=one.stream, offset=one.offset, number=one.fact.number,
                key=spec.key(one.stream, one.fact.patient),
            )
            for one in self.events
            if spec.wants(one.stream, one.fact.type)
        ]  # fmt: skip


def check_appends(verdict: Verdict, log: EventsLog, deeds: Deeds) -> None:
    """E1, of everything that clients were told of their appends."""
    meant: dict[int, None] = {}
    for deed in deeds.appends:
        name = f"the append that {deed.who} asked for at {deed.asked}"
        facts = [fact for part in deed.parts.values() for fact in part]
        meant.update(dict.fromkeys(fact.number for fact in facts))
        found = [log.by_number.get(fact.number) for fact in facts]
        verdict.check(
            "E1", all(found) or not any(found), f"{name} is in the log in part: {[bool(one) for one in found]}"
        )
        if deed.fate is Fate.REFUSED:
            there = any(found) and not deed.came_again
            verdict.check("E1", not there, f"{name} was refused ({deed.refusal}), and is in the log")
        if deed.fate is not Fate.DONE:
            continue
        for stream, part in deed.parts.items():
            for index, fact in enumerate(part):
                logged = log.by_number.get(fact.number)
                told = (stream, deed.offsets[stream] + index)
                verdict.check(
                    "E1",
                    logged is not None and (logged.stream, logged.offset) == told and logged.fact == fact,
                    f"{name}: event {fact.number} was said to be at {told}; the log has {logged}",
                )
    for number in log.by_number:
        verdict.check("E1", number in meant, f"event {number} of the log is nobody's")
