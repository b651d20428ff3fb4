"""What the log tells of dead letters that were delivered anew, or dropped.

C9  each such deed that was acknowledged is told by an event with its actor and reason, and of as many positions as its
    client was told; a deed that was refused isn't, and nothing is that nobody asked for
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from attrs import frozen

from sim.checkers.contents import Contents
from sim.events.deeds import Fate, Letters
from sim.verdict import Verdict
from vdb.wire.event import decode_envelope

STREAMS = "$consumers"
"""How the streams begin that nodes tell it in."""
REASON = "a drill"
_DROPPED = "consumer-dead-letters-dropped"


@frozen(kw_only=True)
class Told:
    """One event of such a stream."""

    consumer: str
    actor: str
    reason: str
    drop: bool
    positions: tuple[int, ...]


def told_deeds(contents: Contents, tenant: int) -> list[Told]:
    """All that the log tells, in its order."""
    found = []
    for event in contents.events.get(tenant, []):
        if event.stream.name.startswith(STREAMS):
            envelope = decode_envelope(event.payload)
            body = json.loads(envelope.body)
            found.append(
                Told(
                    consumer=body["consumer"], actor=envelope.actor, reason=body["reason"],
                    drop=envelope.type == _DROPPED, positions=tuple(body["positions"]),
                )
            )  # fmt: skip
    return found


def check_deeds(verdict: Verdict, told: Iterable[Told], deeds: Sequence[Letters], consumer: str, actor: str) -> None:
    """C9, of one consumer, whose operator does one thing after the other."""
    left = [one for one in told if one.consumer == consumer]
    for one in left:
        verdict.check("C9", (one.actor, one.reason) == (actor, REASON), f"{one} isn't what {actor} said")
    known = [deed for deed in deeds if deed.fate is Fate.DONE and deed.count]
    unknown = [deed for deed in deeds if deed.fate not in (Fate.DONE, Fate.REFUSED)]
    for deed in known:
        # With deeds in between of which nobody knows, an event may be one's or another's.
        fitting = [one for one in (left if unknown else left[:1]) if _covers(deed, one)]
        verdict.check("C9", bool(fitting), f"{_name(deed)} isn't told: next is {left[:1]}")
        left = [one for one in left if one is not fitting[0]] if fitting else left[1:]
    for deed in unknown:
        fitting = [one for one in left if _covers(deed, one)]
        left = [one for one in left if one is not fitting[0]] if fitting else left
    verdict.check("C9", not left, f"nobody asked for {left} of {consumer}")


def _covers(deed: Letters, told: Told) -> bool:
    return (
        told.drop == deed.drop
        and (deed.fate is not Fate.DONE or len(told.positions) == deed.count)
        and (not deed.positions or all(position in deed.positions for position in told.positions))
    )


def _name(deed: Letters) -> str:
    what = "dropping" if deed.drop else "replaying"
    return f"{what} {deed.positions or 'all'} of {deed.consumer}, {deed.count} of them"
