"""Planted bugs of erasures: keys that stay on a disk, words given too early, readers who still see."""

from __future__ import annotations

from typing import Any

from sim.bugs.patch import Bug, Replacement

_ERASING = {
    "erasing": True, "erasing_deeds": 120, "governance": False, "sql": False, "events": False, "requests": 60,
    "clients": 2, "beyond_repair": False, "erased_rows": 0,
}  # fmt: skip
"""Somebody has subjects erased, beside a few other clients."""
_CLUSTER = {**_ERASING, "nodes": 3, "spares": 0, "regions": 1, "disturbances": ["crash"] * 3 + ["partition"] * 3}


_ROWS = {
    **_ERASING, "erasing_deeds": 4, "erased_rows": 80, "requests": 10, "clients": 1, "rotating": False, "nodes": 1,
    "spares": 0, "regions": 1, "disturbances": ["crash"],
}  # fmt: skip
"""Nearly all that is written about them are rows, on one node."""


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


def rows_copied_along() -> tuple[Replacement, ...]:
    """The file under the new key is a copy of the old one."""
    from vdb.node.crud.database import CrudDatabase

    return (Replacement(CrudDatabase, "renew", lambda _renew: CrudDatabase.rekey),)


def copies_that_stay() -> tuple[Replacement, ...]:
    from vdb.node.crud.timetravel import TimeTravel

    def make(_forget: Any) -> Any:
        async def forget(_self: Any, _database: Any) -> None:
            return

        return forget

    return (Replacement(TimeTravel, "forget", make),)


def halves_lost() -> tuple[Replacement, ...]:
    """Of an update that moved a row to somebody who was erased since, neither half is left."""
    from vdb.wire.sql import TransactionReader

    def make(_end_half: Any) -> Any:
        def end_half(self: Any) -> None:
            self._half = None

        return end_half

    return (Replacement(TransactionReader, "_end_half", make),)


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
    Bug(id="e8", what="a database's file is copied for an erasure, not built anew", expected=("E9", "E11"),
        replacements=rows_copied_along, overrides=_ROWS),
    Bug(id="e9", what="copies of a database's earlier states outlive an erasure", expected=("E9", "E11"),
        replacements=copies_that_stay, overrides=_ROWS),
    Bug(id="e10", what="a row that went to somebody who was erased is where it was before", expected=("E10", "Q4"),
        replacements=halves_lost, overrides=_ROWS),
)  # fmt: skip
