"""Effects of the projection, as they happen: what nodes did after a commit.

P3  an effect comes after the commit of its rows, for events that are in the log and that handlers took; and of each
    event there is one at most, whatever is built anew, read again, or taken over by another node
"""

from __future__ import annotations

from attrs import define, field, frozen

from sim.checkers.events_log import EventsLog
from sim.cluster import Cluster
from sim.events.projecting import TABLE
from sim.trace import Trace
from sim.verdict import Verdict
from vdb.projections.effects import Batch


@frozen(kw_only=True)
class Happened:
    """One event's effect. `count`: how many events of its patient the rows had then."""

    who: str
    position: int
    number: int
    patient: str
    count: int


@define(eq=False)
class EffectsLog:
    """All effects of a run."""

    cluster: Cluster
    verdict: Verdict
    trace: Trace
    all: list[Happened] = field(factory=list)
    _by_number: dict[int, Happened] = field(factory=dict)

    async def on_effect(self, number: int, batch: Batch) -> None:
        """Of the projection on this machine, with the events of one commit."""
        who = self.cluster.machines[number].who
        for recorded in batch.events:
            event = recorded.event
            found = await batch.all(f"SELECT events FROM {TABLE} WHERE patient = ?", (event.patient,))
            happened = Happened(
                who=who, position=recorded.position.number, number=event.n, patient=event.patient,
                count=found[0][0] if found else 0,
            )  # fmt: skip
            before = self._by_number.get(event.n)
            self.verdict.check("P3", before is None, f"an effect happened twice: {before}, and {happened}")
            self._by_number[event.n] = happened
            self.all.append(happened)
        self.trace.add(who, "effect", *(one.position.number for one in batch.events))

    def check(self, log: EventsLog) -> None:
        """At the end of a run."""
        counts: dict[str, int] = {}
        ranks: dict[int, int] = {}
        for one in log.events:
            if not one.fact.poisoned:
                counts[one.fact.patient] = ranks[one.fact.number] = counts.get(one.fact.patient, 0) + 1
        for happened in self.all:
            logged = log.by_number.get(happened.number)
            self.verdict.check(
                "P3",
                logged is not None and logged.position == happened.position and not logged.fact.poisoned,
                f"{happened}: the log has {logged}",
            )
            self.verdict.check(
                "P3",
                happened.count >= ranks.get(happened.number, 0),
                f"{happened} came before its rows: it is the {ranks.get(happened.number)}. of its patient",
            )
