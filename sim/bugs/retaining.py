"""Planted bugs of pruning: segments that stay, or go too early, and what must not go."""

from __future__ import annotations

from typing import Any

from sim.bugs.patch import Bug, Replacement

_RETAINING = {
    "erasing": True, "erasing_deeds": 120, "erased_rows": 0, "governance": False, "sql": False, "events": False,
    "requests": 60, "clients": 2, "beyond_repair": False, "rotating": False, "limits": {"segment_size": 1024},
}  # fmt: skip
"""Somebody has segments pruned, beside others."""
_LONG_JOURNAL = {**_RETAINING, "limits": {"segment_size": 1024, "wal_slots": 128}}
"""What is pruned still stands in it."""


def segments_that_stay() -> tuple[Replacement, ...]:
    from vdb.storage.pruning import Removals

    def make(_remove: Any) -> Any:
        async def nothing(_self: Any, _directory: str, _number: int) -> None:
            return

        return nothing

    return (Replacement(Removals, "_remove", make),)


def journal_that_stays() -> tuple[Replacement, ...]:
    from vdb.node.erasure import eraser

    return (Replacement(eraser, "_pruned", lambda _pruned: lambda *_what: ()),)


def segments_that_go_early() -> tuple[Replacement, ...]:
    """As soon as the stub is there, before a checkpoint names it, which takes a while."""
    import trio

    from vdb.storage import event_log

    def make(make_stub: Any) -> Any:
        async def at_once(log: Any, wanted: Any) -> Any:
            stub = await make_stub(log, wanted)
            path = log.path(wanted.segment)
            await log.shared.files.forget(path)
            if await log.shared.disk.exists(path):
                await log.shared.disk.remove(path)
                await log.shared.disk.sync_directory(log.directory)
            await trio.sleep(0.5)
            return stub

        return at_once

    return (Replacement(event_log, "make_stub", make),)


def holds_forgotten() -> tuple[Replacement, ...]:
    from vdb.node.erasure import retaining
    from vdb.node.erasure.expiring import Held

    def make(_held: Any) -> Any:
        return lambda _group, _tenant: Held(subjects=(), patterns=())

    return (Replacement(retaining, "_held", make),)


def one_day_short() -> tuple[Replacement, ...]:
    """Records go as soon as there is a rule for their stream."""
    from vdb.node.erasure import retaining

    return (Replacement(retaining, "has_expired", lambda _has: lambda _time, days, _now: bool(days)),)


def leaves_forgotten() -> tuple[Replacement, ...]:
    """Of a record's body not even the hash is left."""
    from vdb.storage import stub

    return (Replacement(stub, "prune_record", lambda prune: lambda record: prune(record)[:-32] + bytes(32)),)


RETAINING_BUGS: tuple[Bug, ...] = (
    Bug(id="n1", what="segments stay where stubs have taken their place", expected=("D2",),
        replacements=segments_that_stay, overrides=_RETAINING),
    Bug(id="n2", what="the journal keeps what it has of pruned records", expected=("D2",),
        replacements=journal_that_stays, overrides=_LONG_JOURNAL),
    Bug(id="n3", what="a segment goes before the checkpoint that names its stub", expected=("segments", "I40"),
        replacements=segments_that_go_early, overrides=_RETAINING),
    Bug(id="n4", what="segments are pruned without a look at holds", expected=("D1",),
        replacements=holds_forgotten, overrides=_RETAINING),
    Bug(id="n5", what="records expire as soon as there is a rule", expected=("D1",),
        replacements=one_day_short, overrides=_RETAINING),
    Bug(id="n6", what="a stub lacks the hashes of the bodies", expected=("segments",),
        replacements=leaves_forgotten, overrides=_RETAINING),
)  # fmt: skip
