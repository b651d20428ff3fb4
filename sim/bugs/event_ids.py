"""Planted bugs of appends: those that come again, known by the ids of their events, and those that wait for rows."""

from __future__ import annotations

from typing import Any

from sim.bugs.patch import Bug, Replacement

_AGAIN = {
    "sql": False, "events": True, "events_deeds": 100, "requests": 60, "clients": 2, "beyond_repair": False,
    "events_mix": {"append": 5, "rows": 0, "again": 5},
}  # fmt: skip
"""Nearly all that clients do is to append, and to append again."""
_INLINE = {
    **_AGAIN, "nodes": 1, "spares": 0, "harmed": [], "dead_at_the_end": False, "disturbances": ["crash", "crash"],
    "events_inline": True, "events_poison": 0.0, "events_rebuilds": 0,
    "events_mix": {"append": 5, "rows": 5, "again": 0},
}  # fmt: skip
"""To append, and to look."""


def conditions_before_ids() -> tuple[Replacement, ...]:
    from vdb.kernel.predict import check_append
    from vdb.kernel.reply import Refusal
    from vdb.node.preparing import preparer
    from vdb.node.preparing.appending import refused_append

    def make(append: Any) -> Any:
        def check_first(sealer: Any, batch: Any, request: Any) -> Any:
            wanted = [
                (sealer.stream_id(batch.view, request.tenant, one.stream), one.expected, one.count)
                for one in request.appends
            ]
            if not isinstance(check_append(batch.view, request.tenant, wanted), Refusal):
                return append(sealer, batch, request)
            counts = [[run.count for run in one.runs] for one in request.appends]
            refused = [(*one[:2], some) for one, some in zip(wanted, counts, strict=True)]
            return refused_append(request.tenant, refused)

        return check_first

    return (Replacement(preparer, "append_command", make),)


def only_the_last_is_remembered() -> tuple[Replacement, ...]:
    from vdb.kernel import streams

    def make(remember: Any) -> Any:
        def remember_one(draft: Any, *place: Any) -> None:
            kept, draft.event_ids_max = draft.event_ids_max, 1
            remember(draft, *place)
            draft.event_ids_max = kept

        return remember_one

    return (Replacement(streams, "remember", make),)


def inline_rows_arent_awaited() -> tuple[Replacement, ...]:
    from vdb.node.projecting.inline import InlineProjections

    def make(_hold: Any) -> Any:
        return lambda self, names, tenant, group, position, tell: tell()

    return (Replacement(InlineProjections, "hold", make),)


EVENT_ID_BUGS: tuple[Bug, ...] = (
    Bug(id="d1", what="conditions are looked at before event ids", expected=("E6",),
        replacements=conditions_before_ids, overrides=_AGAIN),
    Bug(id="d2", what="a stream remembers the id of its last event alone", expected=("event-ids", "E1"),
        replacements=only_the_last_is_remembered, overrides=_AGAIN),
    Bug(id="d3", what="an append is answered before inline projections have its events", expected=("P6",),
        replacements=inline_rows_arent_awaited, overrides=_INLINE),
)  # fmt: skip
