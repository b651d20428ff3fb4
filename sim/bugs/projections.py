"""Planted bugs of projections of typed streams: effects, what is parked, and rows that are built anew."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from sim.bugs.patch import Bug, Replacement

_PROJECTED = {
    "sql": False, "events": True, "events_deeds": 70, "requests": 20, "clients": 2, "tenants": 1, "nodes": 1,
    "spares": 0, "harmed": [], "dead_at_the_end": False, "disturbances": ["crash", "crash"], "beyond_repair": False,
    "projection": False, "consumers": 0, "events_clients": 3, "events_think_us": 5_000, "events_rebuilds": 0,
    "events_poison": 0.0, "events_policy": "park", "events_effects": True, "events_inline": False,
    "events_mix": {"append": 4, "rows": 1},
}  # fmt: skip
"""One node; clients append, and look at rows."""
_REBUILT = {**_PROJECTED, "events_rebuilds": 12}
_CRASHES = {**_PROJECTED, "disturbances": ["crash"] * 6, "disk": {"lose_unsynced": 1.0}}
_POISONED = {**_PROJECTED, "events_poison": 0.15, "events_patients": 4}


def rebuilds_have_effects() -> tuple[Replacement, ...]:
    from vdb.projections import opening

    return (Replacement(opening, "nothing_is_live", lambda _nothing: lambda group: 0),)


def effects_of_what_was_there_before() -> tuple[Replacement, ...]:
    from vdb.node.replication.group import Group

    return (Replacement(Group, "leads_from", lambda _leads: property(lambda self: 0 if self.is_serving else None)),)


def nothing_waits_behind_what_is_parked() -> tuple[Replacement, ...]:
    from vdb.projections import parking

    return (Replacement(parking, "parked_keys", lambda _keys: lambda db, group: {}),)


def used_before_it_is_whole() -> tuple[Replacement, ...]:
    from vdb.projections import projector

    async def at_once(*_details: Any) -> None:
        return

    return (
        Replacement(projector, "catch_up", lambda _catch_up: at_once),
        Replacement(projector, "align", lambda _align: at_once),
    )


def what_a_failed_batch_wrote_is_kept() -> tuple[Replacement, ...]:
    from vdb.projections import apply

    def make(_transaction: Any) -> Any:
        @contextlib.contextmanager
        def commit_always(db: Any) -> Iterator[None]:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                db.execute("COMMIT")

        return commit_always

    return (Replacement(apply, "_transaction", make),)


PROJECTION_BUGS: tuple[Bug, ...] = (
    Bug(id="p3", what="what is built anew has effects again", expected=("P3",),
        replacements=rebuilds_have_effects, overrides=_REBUILT),
    Bug(id="p4", what="a node that starts has effects for events that it had before", expected=("P3",),
        replacements=effects_of_what_was_there_before, overrides=_CRASHES),
    Bug(id="p5", what="events are applied though an earlier one of their key is parked", expected=("P4", "P1"),
        replacements=nothing_waits_behind_what_is_parked, overrides=_POISONED),
    Bug(id="p6", what="what is built anew is used before it is whole", expected=("P2",),
        replacements=used_before_it_is_whole, overrides=_REBUILT),
    Bug(id="p7", what="what a failed batch had written is kept", expected=("P1", "P2"),
        replacements=what_a_failed_batch_wrote_is_kept, overrides=_POISONED),
)  # fmt: skip
