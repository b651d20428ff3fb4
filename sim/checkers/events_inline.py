"""Inline projections, as the clients of one node saw them.

P6  whoever was told of an append finds its events in the rows of the node that told it, in the same life of the node.
    It counts where nothing may hold the rows back: handlers that refuse no event, a projection that is never taken
    back, and none that appends gave up to wait for
"""

from __future__ import annotations

from sim.events.deeds import Deeds, Fate
from sim.options import Options
from sim.verdict import Verdict
from vdb.marks import COUNTS

GAVE_UP = "inline.behind"


def check_own_writes(verdict: Verdict, options: Options, deeds: Deeds) -> None:
    """P6, of everything that clients were told."""
    held_back = options.events_poison or options.events_rebuilds or COUNTS[GAVE_UP]
    if not options.events_inline or options.nodes > 1 or held_back:
        return
    for read in deeds.rows:
        if read.fate is not Fate.DONE or not read.life:
            continue
        told = [one.position for one in deeds.appends if one.told < read.asked and one.life == read.life]
        position = max(told, default=0)
        verdict.check(
            "P6",
            read.position >= position,
            f"{read.who} was given rows of {read.position}, and an append up to {position} had been answered before",
        )
