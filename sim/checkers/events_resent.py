"""Appends that came again by other clients, as these were told of them.

E6  an append of which the log remembers all event ids is answered as the first time, whatever it expects; what is
    mixed of several isn't appended
"""

from __future__ import annotations

from sim.checkers.events_log import EventsLog
from sim.events.deeds import Deeds, Fate
from sim.verdict import Verdict

RESENT = "E6"
TAKEN = "EventIdTaken"
JUDGED = (TAKEN, "WrongExpectedOffset", "UnknownStream", "UnknownTenant", "InvalidArgument")
"""Refusals that say something about the append, and not about the node."""


def check_resent(verdict: Verdict, log: EventsLog, deeds: Deeds) -> None:
    """E6, of what clients were told of appends that came again."""
    for deed in deeds.resent:
        name = f"the append that {deed.who} sent again at {deed.asked}"
        first = deed.of[0]
        known = all(one.fate is Fate.DONE and one.told < deed.asked for one in deed.of)
        if deed.fate is Fate.REFUSED:
            wrongly = any(deed.refusal.startswith(judged) for judged in JUDGED)
            verdict.check(
                RESENT,
                not wrongly or (not deed.whole and deed.refusal.startswith(TAKEN)) or not known,
                f"{name} was refused: {deed.refusal}",
            )
        if deed.fate is not Fate.DONE:
            continue
        verdict.check(RESENT, deed.whole, f"{name} isn't one that was, and was answered {deed.offsets}")
        if first.fate is Fate.DONE:
            verdict.check(
                RESENT,
                (deed.offsets, deed.position) == (first.offsets, first.position),
                f"{name} was answered {deed.offsets} at {deed.position}, the first time {first.offsets} at "
                f"{first.position}",
            )
        for stream, facts in deed.parts.items():
            for index, fact in enumerate(facts):
                logged = log.by_number.get(fact.number)
                told = (stream, deed.offsets[stream] + index)
                verdict.check(
                    RESENT,
                    logged is not None and (logged.stream, logged.offset) == told,
                    f"{name}: event {fact.number} was said to be at {told}; the log has {logged}",
                )
