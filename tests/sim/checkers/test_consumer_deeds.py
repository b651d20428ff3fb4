"""What the judge of consumers takes, and what it doesn't: histories written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from sim.checkers.consumer_deeds import ConsumerJudge, Due
from sim.events.deeds import (
    Act,
    ConsumerDeeds,
    ConsumerSpec,
    Delivered,
    Fate,
    Leaving,
    Letter,
    Letters,
    Settling,
)
from sim.verdict import Verdict

ONE, TWO = b"1" * 16, b"2" * 16
ACK = 1000
LOG = [Due(position=at, stream="ev-visit-1", offset=at, number=at + 1, key=f"k{at % 2}") for at in range(6)]


class Tale:
    """A consumer's history, told step by step; each step takes two ticks."""

    def __init__(self, **spec: Any) -> None:
        given = {"name": "c", "ack_us": ACK, "in_flight_max": 3, "max_deliver": 3, **spec}
        self.deeds = ConsumerDeeds(spec=ConsumerSpec(**given))
        self.tick = 0

    def steps(self) -> tuple[int, int]:
        self.tick += 2
        return self.tick - 1, self.tick

    def fetch(self, time: int, *positions: int, attempt: int = 1, member: bytes = ONE, number: int = 0) -> Tale:
        asked, told = self.steps()
        for at in positions:
            self.deeds.delivered.append(
                Delivered(
                    consumer="c", member=member, position=at, stream="ev-visit-1", offset=at, number=number or at + 1,
                    attempt=attempt, deadline=time + ACK, asked=asked, told=told,
                )
            )  # fmt: skip
        return self

    def say(
        self, act: Act, *positions: int, attempt: int = 1, member: bytes = ONE, fate: Fate = Fate.DONE, **more: Any
    ) -> Tale:
        for at in positions:
            asked, told = self.steps()
            self.deeds.settled.append(
                Settling(
                    who="m", consumer="c", member=member, position=at, attempt=attempt, act=act, asked=asked,
                    told=told if fate is Fate.DONE else 1 << 62, fate=fate, **more,
                )
            )  # fmt: skip
        return self

    def ack(self, *positions: int, **more: Any) -> Tale:
        return self.say(Act.ACK, *positions, **more)

    def leave(self, member: bytes = ONE) -> Tale:
        asked, told = self.steps()
        self.deeds.left.append(
            Leaving(who="m", consumer="c", member=member, asked=asked, told=told, fate=Fate.DONE)
        )  # fmt: skip
        return self

    def replay(self, *positions: int) -> Tale:
        asked, told = self.steps()
        self.deeds.letters.append(
            Letters(who="o", consumer="c", positions=positions, drop=False, asked=asked, told=told, fate=Fate.DONE)
        )
        return self

    def dead(self, position: int, reason: str = "", attempts: int = 3) -> Tale:
        self.deeds.last.append(Letter(position=position, attempts=attempts, reason=reason))
        return self

    def verdict(self, *, drained: bool = False) -> str:
        verdict = Verdict()
        self.deeds.drained_to = len(LOG) if drained else -1
        ConsumerJudge(verdict, self.deeds, LOG).check()
        return "" if verdict.violation is None else verdict.violation.invariant


def test_a_plain_day_holds() -> None:
    tale = Tale().fetch(100, 0, 1, 2).ack(0, 1, 2).fetch(200, 3, 4, 5).ack(3, 4, 5)
    assert tale.verdict(drained=True) == ""


def test_what_is_delivered_is_in_the_log() -> None:
    assert Tale().fetch(100, 7).verdict() == "C1"
    assert Tale().fetch(100, 1, number=9).verdict() == "C1"


def test_nothing_comes_again_before_its_deadline() -> None:
    assert Tale().fetch(100, 0).fetch(1100, 0, attempt=2).verdict() == ""
    assert Tale().fetch(100, 0).fetch(1099, 0, attempt=2).verdict() == "C2"
    assert Tale().fetch(100, 0).fetch(1200, 0).verdict() == "C2", "the same attempt twice"


def test_a_nak_sets_free_after_its_delay() -> None:
    nak = Tale().fetch(100, 0).say(Act.NAK, 0, micros=300)
    assert nak.fetch(400, 0, attempt=2).verdict() == ""
    nak = Tale().fetch(100, 0).say(Act.NAK, 0, micros=300)
    assert nak.fetch(399, 0, attempt=2).verdict() == "C2"


def test_a_nak_whose_outcome_is_not_known_may_have_been_done_or_not() -> None:
    for time, due in ((400, ""), (1100, ""), (300, "C2")):
        tale = Tale().fetch(100, 0).say(Act.NAK, 0, micros=300, fate=Fate.UNKNOWN)
        assert tale.fetch(time, 0, attempt=2).verdict() == due


def test_an_extension_is_kept() -> None:
    assert Tale().fetch(100, 0).say(Act.EXTEND, 0, micros=5000).fetch(5000, 0, attempt=2).verdict() == "C2"
    assert Tale().fetch(100, 0).say(Act.EXTEND, 0, micros=5000).fetch(5100, 0, attempt=2).verdict() == ""


def test_a_member_that_leaves_gives_back() -> None:
    assert Tale().fetch(100, 0).leave().fetch(200, 0, attempt=1, member=TWO).verdict() == ""
    assert Tale().fetch(100, 0).leave(TWO).fetch(200, 0, attempt=2, member=TWO).verdict() == "C2"


def test_attempts_have_an_end() -> None:
    assert Tale(max_deliver=1).fetch(100, 0).fetch(1200, 0, attempt=2).verdict() == "C3"


def test_limits_of_what_is_in_flight() -> None:
    assert Tale(in_flight_max=2).fetch(100, 0, 1, 2).verdict() == "C4"
    assert Tale(in_flight_max=2).fetch(100, 0, 1).fetch(200, 2).verdict() == "C4"
    assert Tale(in_flight_max=2).fetch(100, 0, 1).ack(1).fetch(200, 2).verdict() == ""
    assert Tale(in_flight_max=2).fetch(100, 0, 1).fetch(1100, 2).verdict() == "", "their deadline has passed"
    assert Tale(member_max=1).fetch(100, 0).fetch(200, 1, member=TWO).verdict() == ""
    assert Tale(member_max=1).fetch(100, 0).fetch(200, 1).verdict() == "C4"


def test_one_of_a_key_and_in_order() -> None:
    ordered = {"ordered_by": "subject"}
    assert Tale(**ordered).fetch(100, 0, 1).ack(0, 1).fetch(200, 2, 3).verdict() == ""
    assert Tale(**ordered).fetch(100, 0, 2).verdict() == "C5"
    assert Tale(**ordered).fetch(100, 2).verdict() == "C5", "its first event isn't over"
    assert Tale(**ordered).fetch(100, 0).fetch(1200, 2).verdict() == "C5"
    assert Tale(**ordered).fetch(100, 0).ack(0, late=True).fetch(1200, 2).verdict() == "C5"


def test_what_was_acked_stays_so() -> None:
    assert Tale().fetch(100, 0).ack(0).fetch(1200, 0, attempt=2).verdict() == "C6"
    assert Tale().fetch(100, 0).fetch(1200, 0, attempt=2, member=TWO).ack(0).verdict() == "C6"
    assert Tale().fetch(100, 0).fetch(1200, 0, attempt=2, member=TWO).ack(0, late=True).verdict() == ""


def test_nothing_is_left_out() -> None:
    tale = Tale().fetch(100, 0, 1, 2).ack(0, 1, 2).fetch(200, 3, 5).ack(3, 5)
    assert tale.verdict(drained=True) == "C7"
    assert tale.dead(4).verdict(drained=True) == ""


def test_dead_letters_have_a_reason() -> None:
    assert Tale().fetch(100, 0).say(Act.TERM, 0, reason="no").dead(0, "no", 1).verdict() == ""
    assert Tale().fetch(100, 0).say(Act.TERM, 0, reason="no").dead(0, "other", 1).verdict() == "C8"
    assert Tale().fetch(100, 0).dead(0, attempts=2).verdict() == "C8"
    assert Tale().fetch(100, 0).ack(0).dead(0).verdict() == "C8"


@pytest.mark.parametrize("positions", [(), (0,)])
def test_a_dead_letter_may_be_delivered_anew(positions: tuple[int, ...]) -> None:
    tale = Tale().fetch(100, 0).say(Act.TERM, 0, reason="no").replay(*positions).fetch(200, 0).ack(0)
    assert tale.verdict() == ""
