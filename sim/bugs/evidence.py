"""Planted bugs of evidence: heads that go back, leaves of something else, proofs of another record."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from sim.bugs.patch import Bug, Replacement

_AUDITED = {
    "sql": False, "events": True, "events_deeds": 100, "requests": 60, "clients": 2, "beyond_repair": False,
    "events_mix": {"append": 4, "audit": 6}, "consumers": 0, "events_rebuilds": 0,
}  # fmt: skip
"""Clients append, and ask for evidence of it."""
_CUT_OFF = {**_AUDITED, "nodes": 3, "spares": 0, "disturbances": ["partition", "heal", "partition", "heal", "partition"]}
_LARGE = {"sql": False, "events": False, "mix": {"append": 2, "append_large": 3, "create": 1}, "beyond_repair": False}


def heads_unasked() -> tuple[Replacement, ...]:
    from vdb.node.proving import Prover

    def make(consistency: Any) -> Any:
        async def unasked(self: Any, tenant: int, group: str, size: int) -> Any:
            found = self._reader(group).group
            confirm = found.confirm
            found.confirm = _at_once
            try:
                return await consistency(self, tenant, group, size)
            finally:
                found.confirm = confirm

        return unasked

    return (Replacement(Prover, "consistency", make),)


async def _at_once() -> None:
    """Proof of nothing."""


def parts_hashed_again() -> tuple[Replacement, ...]:
    from vdb.kernel import transactions

    def make(grow: Any) -> Any:
        return lambda hashes, size, leaf: grow(hashes, size, sha256(leaf).digest())

    return (Replacement(transactions, "grow", make),)


def the_record_before() -> tuple[Replacement, ...]:
    from vdb.node.leaves import TreeLeaves

    def make(index_at: Any) -> Any:
        return lambda self, position: max(0, index_at(self, position) - 1)

    return (Replacement(TreeLeaves, "index_at", make),)


EVIDENCE_BUGS: tuple[Bug, ...] = (
    Bug(id="h1", what="a head is signed by whoever takes itself for the primary", expected=("E7",),
        replacements=heads_unasked, overrides=_CUT_OFF),
    Bug(id="h2", what="leaves of records that came in parts are hashed once more", expected=("tree", "E7"),
        replacements=parts_hashed_again, overrides=_LARGE),
    Bug(id="h3", what="a proof is of the record before", expected=("E8",),
        replacements=the_record_before, overrides=_AUDITED),
)  # fmt: skip
