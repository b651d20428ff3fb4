"""Deeds with dead letters, and what the log tells of them."""

from __future__ import annotations

from sim.checkers.consumer_audit import REASON, Told, check_deeds
from sim.events.deeds import Fate, Letters
from sim.verdict import Verdict


def deed(*positions: int, drop: bool = False, count: int = 1, fate: Fate = Fate.DONE) -> Letters:
    return Letters(who="w0", asked=1, told=2, fate=fate, consumer="c", positions=positions, drop=drop, count=count)


def told(*positions: int, drop: bool = False, actor: str = "w0") -> Told:
    return Told(consumer="c", actor=actor, reason=REASON, drop=drop, positions=positions)


def holds(log: list[Told], *deeds: Letters) -> bool:
    verdict = Verdict()
    check_deeds(verdict, log, deeds, "c", "w0")
    return verdict.ok


def test_what_was_done_is_told() -> None:
    assert holds([told(3), told(4, drop=True)], deed(3), deed(4, 5, drop=True))
    assert not holds([], deed(3))
    assert not holds([told(3, actor="x")], deed(3))
    assert not holds([told(3, 4)], deed(3, 4, count=1))
    assert not holds([told(3, drop=True)], deed(3))


def test_what_nobody_asked_for_or_was_refused() -> None:
    assert not holds([told(3)])
    assert not holds([told(3)], deed(3, fate=Fate.REFUSED))
    assert holds([], deed(3, count=0))


def test_what_nobody_knows_may_be_told_or_not() -> None:
    unknown = deed(3, fate=Fate.UNKNOWN)
    assert holds([], unknown)
    assert holds([told(3)], unknown)
    assert not holds([told(3), told(3)], unknown)
