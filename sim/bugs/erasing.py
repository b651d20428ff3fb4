"""Planted bugs of erasures: keys that stay on a disk, words given too early, readers who still see."""

from __future__ import annotations

from typing import Any

from sim.bugs.patch import Bug, Replacement

_ERASING = {
    "erasing": True, "erasing_deeds": 120, "governance": False, "sql": False, "events": False, "requests": 60,
    "clients": 2, "beyond_repair": False,
}  # fmt: skip
"""Somebody has subjects erased, beside a few other clients."""
_CLUSTER = {**_ERASING, "nodes": 3, "spares": 0, "regions": 1, "disturbances": ["crash"] * 3 + ["partition"] * 3}


def journal_that_stays() -> tuple[Replacement, ...]:
    from vdb.storage.wal import Journal

    def make(_wipe: Any) -> Any:
        async def wipe(_self: Any, _keys: Any) -> int:
            return 0

        return wipe

    return (Replacement(Journal, "wipe", make),)


def acknowledged_before_the_checkpoint() -> tuple[Replacement, ...]:
    from vdb.node.erasure.eraser import Eraser

    def make(_until: Any) -> Any:
        async def at_once(_self: Any, _group: Any, _time: int) -> None:
            return

        return at_once

    return (Replacement(Eraser, "_until_checkpointed", make),)


def checkpoints_as_ever() -> tuple[Replacement, ...]:
    """A checkpoint with a destroyed key rewrites no more than any other, and that is little, as in a large store."""
    from vdb.storage import checkpoint, checkpoint_family

    return (
        Replacement(checkpoint, "is_destroyed_row", lambda _is: lambda _row: False),
        Replacement(checkpoint_family, "SLOT_ROWS_MIN", lambda _rows: 1),
    )


def keys_kept_in_memory() -> tuple[Replacement, ...]:
    """What was unwrapped before stays usable, and nobody is told that the key was destroyed."""
    from vdb.crypto.keyring import Keyring

    def make(_is_destroyed: Any) -> Any:
        return lambda _self, _dek_id: False

    return (
        Replacement(Keyring, "destroy", lambda _destroy: lambda _self, _dek_id: None),
        Replacement(Keyring, "is_destroyed", make),
    )


def a_quorum_is_enough() -> tuple[Replacement, ...]:
    """An erasure is complete once most members have acknowledged."""
    from vdb.kernel import erasure

    def make(pending_nodes: Any) -> Any:
        def lenient(state: Any, found: Any) -> Any:
            pending, owing = pending_nodes(state, found), erasure.owing_nodes(state, found)
            return () if 2 * len(pending) < len(owing) else pending

        return lenient

    return (Replacement(erasure, "pending_nodes", make),)


def subjects_come_back() -> tuple[Replacement, ...]:
    """Nobody remembers that the subject was erased, and it is given a new key."""
    from vdb.crypto.keyring import Keyring
    from vdb.kernel import keys
    from vdb.node.preparing.sealer import Sealer

    def make(row_of: Any) -> Any:
        def live(self: Any, *what: Any, **how: Any) -> Any:
            row = row_of(self, *what, **how)
            return None if row is not None and row.is_destroyed else row

        return live

    return (
        Replacement(Sealer, "about_erased", lambda _about: lambda *_what: None),
        Replacement(keys, "is_erased", lambda _is: lambda *_what: False),
        Replacement(Keyring, "row", make),
    )


def holds_looked_past() -> tuple[Replacement, ...]:
    """A hold that comes while an erasure is judged is seen by the next one alone."""
    from vdb.kernel import erasure

    return (Replacement(erasure, "was_judged", lambda _was: lambda *_what: True),)


ERASING_BUGS: tuple[Bug, ...] = (
    Bug(id="e1", what="the journal keeps what it has of destroyed keys", expected=("E3", "E4"),
        replacements=journal_that_stays, overrides=_ERASING),
    Bug(id="e2", what="a node acknowledges before its checkpoint has the erasure", expected=("E3", "E4"),
        replacements=acknowledged_before_the_checkpoint, overrides=_ERASING),
    Bug(id="e3", what="a checkpoint with a destroyed key leaves older files of keys in use", expected=("E3", "E4"),
        replacements=checkpoints_as_ever, overrides=_ERASING),
    Bug(id="e4", what="a node forgets nothing of a key that was destroyed", expected=("E1",),
        replacements=keys_kept_in_memory, overrides=_ERASING),
    Bug(id="e5", what="an erasure is complete once most members have acknowledged", expected=("E4",),
        replacements=a_quorum_is_enough, overrides=_CLUSTER),
    Bug(id="e6", what="an erased subject is given a new key", expected=("E2",),
        replacements=subjects_come_back, overrides=_ERASING),
    Bug(id="e7", what="a hold that is placed while an erasure is judged is looked past", expected=("E6",),
        replacements=holds_looked_past, overrides=_ERASING),
)  # fmt: skip
