"""What members of a consumer were told, against the log and against what they answered.

C1  what is delivered is an event of the log that fits the filter, not before the start, as the log has it
C2  an event is delivered again only once its deadline has passed, or after a nak and its delay, or when its member has
    left, or when it was a dead letter that is delivered anew; an attempt is made once
C3  no more than `max_deliver` attempts
C4  no more in flight than the group's limit, and the member's
C5  with an order: one of a key in flight, in the order of the log
C6  what was acked is never delivered again; an answer to a delivery that has been made again since is late
C7  nothing is left out: in the end each event was acked, or is a dead letter
C8  dead letters are those of which a member said so, or whose attempts ran out; what was acked isn't one

The time of a delivery is its deadline without the group's ack deadline: the time of the op that made it, on the group's
own clock, so that clocks of nodes and clients don't matter. What isn't known is taken at its best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from attrs import define, field, frozen

from sim.events.deeds import Act, ConsumerDeeds, Delivered, Fate, Letters, Settling
from sim.verdict import Verdict


@frozen(kw_only=True)
class Due:
    """An event of the log that fits a consumer's filter. `key`: whose order it keeps, '' for nobody's."""

    position: int
    stream: str
    offset: int
    number: int
    key: str = ""


@define
class ConsumerJudge:
    """`log`: the events that fit the filter, in the order of their positions."""

    verdict: Verdict
    deeds: ConsumerDeeds
    log: Sequence[Due]
    _due: Mapping[int, Due] = field(init=False)
    _by_position: dict[int, list[Delivered]] = field(init=False, factory=dict)
    _answers: dict[tuple[int, int, bytes], list[Settling]] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self._due = {due.position: due for due in self.log}
        for delivered in sorted(self.deeds.delivered, key=lambda one: (self._time(one), one.told)):
            self._by_position.setdefault(delivered.position, []).append(delivered)
        for settling in self.deeds.settled:
            self._answers.setdefault((settling.position, settling.attempt, settling.member), []).append(settling)

    def check(self) -> None:
        for delivered in self.deeds.delivered:
            self._check_event(delivered)
        for deliveries in self._by_position.values():
            for before, after in pairwise(deliveries):
                self._check_again(before, after)
        self._check_limits()
        if self.deeds.spec.ordered_by:
            self._check_order()
        for settling in self.deeds.settled:
            self._check_settling(settling)
        if self.deeds.drained_to >= 0:
            self._check_complete()
        self._check_letters()

    # One delivery ----------------------------------------------------------------------------------------------

    def _check_event(self, delivered: Delivered) -> None:
        due = self._due.get(delivered.position)
        told = (delivered.stream, delivered.offset, delivered.number)
        self._check(
            "C1",
            due is not None and (due.stream, due.offset, due.number) == told,
            f"{_name(delivered)} is {told}; the log has {due} there, as far as the filter goes",
        )
        self._check(
            "C1",
            delivered.position >= self.deeds.start_least,
            f"{_name(delivered)} lies before the start, {self.deeds.start_least}",
        )
        most = self.deeds.spec.max_deliver
        self._check(
            "C3", delivered.attempt >= 1 and (not most or delivered.attempt <= most),
            f"{_name(delivered)} is attempt {delivered.attempt} of {most}",
        )  # fmt: skip

    def _check_again(self, before: Delivered, after: Delivered) -> None:
        """C2, of two deliveries of one event, the second made after the first."""
        if self._is_new_life(before, after) or self._has_left(before, after):
            return
        self._check(
            "C2", after.attempt > before.attempt, f"{_name(after)} is attempt {after.attempt} again: {_name(before)}"
        )
        self._check(
            "C2",
            self._time(after) >= self._free_at(before, after),
            f"{_name(after)} was made at {self._time(after)}, {_name(before)} was free at "
            f"{self._free_at(before, after)}: it was made at {self._time(before)} with deadline {before.deadline}, "
            f"and answered {[(one.act.value, one.micros, one.fate.value) for one in self._answered(before)]}",
        )

    def _free_at(self, before: Delivered, after: Delivered) -> int:
        """The earliest time at which it may have been free again."""
        free = before.deadline
        for settling in self._answered(before):
            if settling.asked > after.told or settling.late or settling.fate is Fate.REFUSED:
                continue
            at = self._time(before)
            if settling.act is Act.NAK:
                at += max(0, settling.micros)
            elif settling.act is Act.EXTEND:
                at += settling.micros or self.deeds.spec.ack_us
            else:
                continue
            free = at if settling.fate is Fate.DONE and settling.told < after.asked else min(free, at)
        return free

    def _is_new_life(self, before: Delivered, after: Delivered) -> bool:
        return any(self._may_be_replayed(letters, before, after) for letters in self.deeds.letters)

    def _may_be_replayed(self, letters: Letters, before: Delivered, after: Delivered) -> bool:
        return (
            not letters.drop
            and letters.fate is not Fate.REFUSED
            and (not letters.positions or before.position in letters.positions)
            and letters.asked < after.told
            and letters.told > before.asked
        )

    def _has_left(self, before: Delivered, after: Delivered) -> bool:
        return any(
            left.member == before.member and left.asked < after.told and left.told > before.asked
            for left in self.deeds.left
        )

    # Many ------------------------------------------------------------------------------------------------------

    def _surely_out(self, delivered: Delivered) -> list[Delivered]:
        """What was in flight beyond doubt when this delivery was made, itself and its own fetch included."""
        at = self._time(delivered)
        return [
            other
            for other in self.deeds.delivered
            if self._time(other) <= at < other.deadline
            and (other.asked == delivered.asked or self._holds(other, delivered))
        ]  # fmt: skip

    def _holds(self, other: Delivered, delivered: Delivered) -> bool:
        """Whether nothing was done that might have set it free before the other fetch was answered."""
        if self._time(other) == self._time(delivered) and other.told > delivered.told:
            return False
        return not any(one.asked < delivered.told for one in self._answered(other)) and not any(
            left.member == other.member and left.asked < delivered.told and left.told > other.asked
            for left in self.deeds.left
        )

    def _check_limits(self) -> None:
        spec = self.deeds.spec
        for delivered in _one_of_each_fetch(self.deeds.delivered):
            out = self._surely_out(delivered)
            self._check(
                "C4", not spec.in_flight_max or len(out) <= spec.in_flight_max,
                f"with {_name(delivered)} {len(out)} are in flight, of {spec.in_flight_max}",
            )  # fmt: skip
            own = sum(other.member == delivered.member for other in out)
            self._check(
                "C4", not spec.member_max or own <= spec.member_max,
                f"with {_name(delivered)} its member has {own} in flight, of {spec.member_max}",
            )  # fmt: skip

    def _check_order(self) -> None:
        keys: dict[str, list[int]] = {}
        for due in self.log:
            if due.position >= self.deeds.start_most:
                keys.setdefault(due.key, []).append(due.position)
        for delivered in self.deeds.delivered:
            if delivered.position not in self._due:
                continue
            key = self._due[delivered.position].key
            others = [
                other
                for other in self._surely_out(delivered)
                if other.position != delivered.position and self._key(other) == key
            ]
            self._check("C5", not others, f"{_name(delivered)} was made while {others and _name(others[0])} was out")
            for position in keys.get(key, ()):
                if position >= delivered.position:
                    break
                self._check(
                    "C5",
                    self._may_be_over(position, delivered),
                    f"{_name(delivered)} was made before {position}, an earlier event of its key, was over",
                )

    def _may_be_over(self, position: int, delivered: Delivered) -> bool:
        if position in self.deeds.listed or position in {letter.position for letter in self.deeds.last}:
            return True
        if any(not letters.positions or position in letters.positions for letters in self.deeds.letters):
            return True
        return any(
            one.asked < delivered.told and not one.late
            for deliveries in (self._by_position.get(position, ()),)
            for other in deliveries
            for one in self._answered(other)
            if one.act in (Act.ACK, Act.TERM)
        )

    # Answers and ends ------------------------------------------------------------------------------------------

    def _check_settling(self, settling: Settling) -> None:
        if settling.fate is not Fate.DONE or settling.late:
            return
        position = settling.position
        again = [one for one in self._by_position.get(position, ()) if one.attempt > settling.attempt]
        stale = [one for one in again if one.told < settling.asked and not self._maybe_replayed(position)]
        self._check(
            "C6",
            not stale,
            f"{_answer(settling)} was taken though {stale and _name(stale[0])} had been made",
        )
        if settling.act is Act.ACK:
            after = [one for one in self._by_position.get(position, ()) if one.asked > settling.told]
            self._check(
                "C6", not after, f"{after and _name(after[0])} was made after {_answer(settling)} was confirmed"
            )

    def _maybe_replayed(self, position: int) -> bool:
        return any(
            not letters.drop and (not letters.positions or position in letters.positions)
            for letters in self.deeds.letters
        )

    def _check_complete(self) -> None:
        over = {
            one.position: None for one in self.deeds.settled
            if one.act in (Act.ACK, Act.TERM) and one.fate is not Fate.REFUSED and not one.late
        }  # fmt: skip
        dead = {letter.position for letter in self.deeds.last}
        dropped = {
            at for one in self.deeds.letters if one.drop and one.fate is not Fate.REFUSED for at in one.positions
        }
        for due in self.log:
            if not self.deeds.start_most <= due.position < self.deeds.drained_to:
                continue
            self._check(
                "C7",
                due.position in over or due.position in dead or due.position in dropped,
                f"event {due.number}, {due.stream} at {due.offset}, position {due.position}, was never settled, and "
                f"is no dead letter; it was delivered {len(self._by_position.get(due.position, ()))} times, as far as "
                f"members know",
            )
        for settling in self.deeds.settled:
            if settling.act is not Act.TERM or settling.fate is not Fate.DONE or settling.late:
                continue
            self._check(
                "C8",
                settling.position in dead or bool(self.deeds.letters),
                f"{_answer(settling)} was confirmed, and isn't among the dead letters in the end",
            )

    def _check_letters(self) -> None:
        spec = self.deeds.spec
        acked = {
            one.position: one for one in self.deeds.settled
            if one.act is Act.ACK and one.fate is Fate.DONE and not one.late
        }  # fmt: skip
        for letter in (*self.deeds.listed.values(), *self.deeds.last):
            reasons = [
                one.reason for one in self.deeds.settled if one.act is Act.TERM and one.position == letter.position
            ]
            self._check(
                "C8",
                letter.reason in reasons if letter.reason else bool(spec.max_deliver),
                f"{letter.position} is a dead letter because of {letter.reason!r}; its members said {reasons}",
            )
            self._check(
                "C8",
                bool(letter.reason) or letter.attempts == spec.max_deliver,
                f"{letter.position} is a dead letter after {letter.attempts} attempts of {spec.max_deliver}",
            )
            self._check("C8", letter.position in self._due, f"{letter.position} is a dead letter, and doesn't fit")
        for letter in self.deeds.last:
            self._check(
                "C8", letter.position not in acked, f"{letter.position} was acked, and is a dead letter in the end"
            )

    # Words -----------------------------------------------------------------------------------------------------

    def _time(self, delivered: Delivered) -> int:
        return delivered.deadline - self.deeds.spec.ack_us

    def _key(self, delivered: Delivered) -> str | None:
        due = self._due.get(delivered.position)
        return None if due is None else due.key

    def _answered(self, delivered: Delivered) -> list[Settling]:
        return [
            one
            for one in self._answers.get((delivered.position, delivered.attempt, delivered.member), ())
            if one.asked > delivered.asked
        ]

    def _check(self, invariant: str, holds: bool, message: str) -> None:
        self.verdict.check(invariant, holds, f"consumer {self.deeds.spec.name}: {message}")


def _one_of_each_fetch(deliveries: Sequence[Delivered]) -> list[Delivered]:
    return list({delivered.asked: delivered for delivered in deliveries}.values())


def _name(delivered: Delivered) -> str:
    return f"the delivery of {delivered.position}, attempt {delivered.attempt}, to {delivered.member.hex()[-4:]}"


def _answer(settling: Settling) -> str:
    return f"{settling.act.value} of {settling.position}, attempt {settling.attempt}, by {settling.member.hex()[-4:]}"
