"""Reads by filter, against the log.

E2  what a read saw is the log's events that fit, from its place on, one after the other: none is left out, none comes
    twice, each as it was appended, whatever version it was written in
E3  a linearizable read that went to the end saw all that fits and had been acknowledged when it began
E4  an event has one time, whoever reads it, and reads from a time begin with the first event that isn't older
E5  an aggregate is the fold of its stream up to the offset that it names: the one that was asked for, or one that
    isn't before what had been acknowledged
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from sim.checkers.events_log import EventsLog, LoggedFact
from sim.events.deeds import Deeds, Fate, Folding, Reading, Seen
from sim.events.kinds import link
from sim.verdict import Verdict


@define
class ReadsJudge:
    """Looks at all reads of a run, at its end."""

    verdict: Verdict
    log: EventsLog
    deeds: Deeds
    _times: dict[int, int] = field(factory=dict)

    def check(self) -> None:
        for read in self.deeds.reads:
            for seen in read.seen:
                known = self._times.setdefault(seen.position, seen.time)
                self._check("E4", read, known == seen.time, f"{seen.position} is of {known} and of {seen.time}")
        for read in self.deeds.reads:
            if read.fate is not Fate.REFUSED:
                self._check_read(read)

        for folding in self.deeds.foldings:
            if folding.fate is Fate.DONE:
                self._check_folding(folding)

    def _check_folding(self, folding: Folding) -> None:
        name = f"the aggregate of {folding.stream} that {folding.who} asked for at {folding.asked}"
        chain, count = "", 0
        for one in self.log.events:
            if one.stream == folding.stream and one.offset < folding.next_offset:
                chain, count = link(chain, one.fact.number), count + 1
        self.verdict.check(
            "E5",
            (folding.chain, folding.events) == (chain, count) and count == folding.next_offset,
            f"{name} has {folding.events} events up to {folding.next_offset}, or others; the log has {count} there",
        )
        told = [
            append.offsets[folding.stream] + len(append.parts[folding.stream])
            for append in self.deeds.appends
            if append.told < folding.asked and folding.stream in append.offsets
        ]
        least = max(told, default=0) if folding.at < 0 else folding.at
        self.verdict.check(
            "E5",
            folding.next_offset >= least if folding.at < 0 else folding.next_offset == least,
            f"{name} is as of {folding.next_offset}; {least} was due",
        )

    def _check_read(self, read: Reading) -> None:
        fitting = [one for one in self.log.events if _fits(read, one)]
        if read.backward:
            fitting.reverse()
        begin = self._begin(read, fitting)
        due = fitting[begin : begin + len(read.seen)]
        for one, seen in zip(due, read.seen, strict=False):
            self._check("E2", read, _is(one, seen), f"it saw {seen}, where the log has {one}")
        self._check("E2", read, len(due) == len(read.seen), f"it saw {len(read.seen)} events, {len(due)} fit")
        went_on = read.fate is Fate.DONE and not read.follows and not (read.most and len(read.seen) >= read.most)
        if not went_on:
            return
        missing = fitting[begin + len(read.seen) :]
        acknowledged = 0 if read.stale else self._acknowledged(read)
        whole = read.backward and bool(read.seen)  # what is older than something that was there was there
        late = [one for one in missing if whole or one.position < acknowledged]
        self._check("E3", read, not late, f"it ended after {len(read.seen)} events, and left out {late and late[0]}")

    def _begin(self, read: Reading, fitting: list[LoggedFact]) -> int:
        """Where in what fits it must begin. A backward read begins no later than where the log ended when it was asked
        for, so it may leave out what nobody had been told of."""
        begin = 0
        if read.start == "offset":
            begin = _first(fitting, lambda one: (one.offset < read.place) == read.backward)
        elif read.start == "position":
            begin = _first(fitting, lambda one: (one.position < read.place) == read.backward)
        if not read.seen:
            return len(fitting) if read.start == "time" else begin
        first = _first(fitting, lambda one: one.position == read.seen[0].position)
        if read.start == "time":
            self._check_time(read, fitting, first)
            return first
        if not read.backward or first < begin:
            return begin
        acknowledged = 0 if read.stale else self._acknowledged(read)
        newer = [one for one in fitting[begin:first] if one.position < acknowledged]
        self._check("E3", read, not newer, f"it began before {newer and newer[0]}, acknowledged before it was asked")
        return first

    def _check_time(self, read: Reading, fitting: list[LoggedFact], first: int) -> None:
        """Of those whose times are known: those before the first one seen don't belong to the read."""
        acknowledged = 0 if read.stale else self._acknowledged(read)
        for one in fitting[:first]:
            time = self._times.get(one.position)
            if time is None or (read.backward and one.position >= acknowledged):
                continue
            self._check(
                "E4",
                read,
                (time < read.place) != read.backward,
                f"it began with {read.seen[0].position} and left out {one.position}, of {time}",
            )
        time = self._times[read.seen[0].position]
        self._check("E4", read, (time < read.place) == read.backward, f"it began with an event of {time}")

    def _acknowledged(self, read: Reading) -> int:
        """The log's next position after what was acknowledged before the read was asked for."""
        return max((one.position for one in self.deeds.appends if one.told < read.asked), default=0)

    def _check(self, invariant: str, read: Reading, holds: bool, message: str) -> None:
        if holds:
            self.verdict.check(invariant, True, "")
            return
        manner = f"{'following' if read.follows else 'to the end'}, {'stale' if read.stale else 'fresh'}"
        self.verdict.check(
            invariant,
            False,
            f"the read of {read.who} at {read.asked} ({'backward' if read.backward else 'forward'} from "
            f"{read.start or 'the edge'} {read.place} of {read.stream or read.prefixes} {read.types}, at most "
            f"{read.most}, {manner}): {message}",
        )


def _fits(read: Reading, one: LoggedFact) -> bool:
    return (
        (not read.stream or one.stream == read.stream)
        and (not read.prefixes or one.stream.startswith(read.prefixes))
        and (not read.types or one.fact.type in read.types)
    )


def _is(one: LoggedFact, seen: Seen) -> bool:
    fact = one.fact
    return (seen.position, seen.stream, seen.offset, seen.event_id, seen.actor, seen.subject, seen.told) == (
        one.position, one.stream, one.offset, fact.event_id, fact.by, fact.patient,
        (fact.number, fact.patient, fact.ward, fact.poisoned),
    )  # fmt: skip


def _first(events: list[LoggedFact], holds: Callable[[LoggedFact], bool]) -> int:
    return next((at for at, one in enumerate(events) if holds(one)), len(events))
