"""Planted bugs of audit logs: answers that nothing tells of, entries that tell of something else."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from sim.bugs.patch import Bug, Replacement

_READING = {
    "sql": False, "events": False, "governance": False, "erasing": False, "requests": 80, "clients": 3,
    "beyond_repair": False, "mix": {"append": 3, "read": 6, "create": 1},
}  # fmt: skip
"""Clients append and read."""
_CUT_OFF = {**_READING, "nodes": 3, "spares": 0, "disturbances": ["partition"] * 8}


def answered_at_once() -> tuple[Replacement, ...]:
    from vdb.kernel.command import INTERNAL
    from vdb.kernel.reply import AuditAppended
    from vdb.node.audit import recorder

    def make(_committed: Any) -> Any:
        async def record(group: Any, request: Any) -> Any:
            pending = group.submit(request, lambda _reply: None, INTERNAL, lambda _error: None)
            return AuditAppended(request.tenant, 0, 0, 0), pending.entry

        return record

    return (Replacement(recorder, "_committed", make),)


def lost_is_recorded() -> tuple[Replacement, ...]:
    from vdb.errors import PrimaryLost
    from vdb.kernel.reply import AuditAppended
    from vdb.node.audit import recorder

    def make(committed: Any) -> Any:
        async def record(group: Any, request: Any) -> Any:
            try:
                return await committed(group, request)
            except PrimaryLost:
                return AuditAppended(request.tenant, 0, 0, 0), 0

        return record

    return (Replacement(recorder, "_committed", make),)


def one_entry_fewer() -> tuple[Replacement, ...]:
    from vdb.node.preparing import preparer

    def make(seal_notes: Any) -> Any:
        def seal(one: Any, batch: Any) -> None:
            for notes in batch.notes.values():
                if len(notes.entries) > 1 and not notes.waiters:
                    notes.entries.pop()
            seal_notes(one, batch)

        return seal

    return (Replacement(preparer, "seal_notes", make),)


def told_of_the_next_event() -> tuple[Replacement, ...]:
    from vdb.node.preparing import noting

    def make(complete: Any) -> Any:
        def complete_usual(*known: Any) -> Any:
            entry = complete(*known)
            return None if entry is None else replace(entry, first=entry.first + 1)

        return complete_usual

    return (Replacement(noting, "_complete_usual", make),)


def times_of_the_past() -> tuple[Replacement, ...]:
    from vdb.node.preparing import noting

    def make(timed: Any) -> Any:
        return lambda encoded, time: timed(encoded, time - 1_000_000)

    return (Replacement(noting, "timed", make),)


def leaves_hashed_again() -> tuple[Replacement, ...]:
    from vdb.kernel import audit

    def make(grow: Any) -> Any:
        return lambda hashes, size, leaf: grow(hashes, size, sha256(leaf).digest())

    return (Replacement(audit, "grow", make),)


def an_unguarded_door() -> tuple[Replacement, ...]:
    from vdb.node.gate.found import Finding

    def make(receipts: Any) -> Any:
        return lambda self: [] if self._door == "read" else receipts(self)

    return (Replacement(Finding, "receipts", make),)


AUDIT_BUGS: tuple[Bug, ...] = (
    Bug(id="a1", what="a read is answered before its receipt is committed", expected=("A3",),
        replacements=answered_at_once, overrides=_READING),
    Bug(id="a2", what="a receipt that was lost with its primary counts as committed", expected=("A3", "I22"),
        replacements=lost_is_recorded, overrides=_CUT_OFF),
    Bug(id="a3", what="the last of several entries is left out of its record", expected=("A1",),
        replacements=one_entry_fewer, overrides=_READING),
    Bug(id="a4", what="an entry tells of the event after the one that was written", expected=("A1",),
        replacements=told_of_the_next_event, overrides=_READING),
    Bug(id="a5", what="entries have times of before their op", expected=("A2",),
        replacements=times_of_the_past, overrides=_READING),
    Bug(id="a6", what="leaves of audit logs are hashed once more", expected=("tree",),
        replacements=leaves_hashed_again, overrides=_READING),
    Bug(id="a7", what="one door gives no receipts", expected=("A3",),
        replacements=an_unguarded_door, overrides=_READING),
)  # fmt: skip
