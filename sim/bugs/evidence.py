"""Planted bugs of evidence: heads that go back, leaves of something else, proofs of another record."""

from __future__ import annotations

from hashlib import sha256
from types import SimpleNamespace
from typing import Any

from sim.bugs.patch import Bug, Replacement

_AUDITED = {
    "sql": False, "events": True, "events_deeds": 100, "requests": 60, "clients": 2, "beyond_repair": False,
    "events_mix": {"append": 4, "audit": 6}, "consumers": 0, "events_rebuilds": 0,
}  # fmt: skip
"""Clients append, and ask for evidence of it."""
_CUT_OFF = {**_AUDITED, "nodes": 3, "spares": 0, "disturbances": ["partition"] * 8}
_LARGE = {"sql": False, "events": False, "mix": {"append": 2, "append_large": 3, "create": 1}, "beyond_repair": False}


class _Trusting:
    """A group that takes itself for the primary's."""

    def __init__(self, group: Any) -> None:
        self._group = group

    def __getattr__(self, name: str) -> Any:
        return getattr(self._group, name)

    async def confirm(self) -> None:
        """Nobody is asked."""


def heads_unasked() -> tuple[Replacement, ...]:
    from vdb.node.evidence.proving import Prover

    def make(reader_of: Any) -> Any:
        return lambda self, name: SimpleNamespace(group=_Trusting(reader_of(self, name).group))

    return (Replacement(Prover, "_reader", make),)


def parts_hashed_again() -> tuple[Replacement, ...]:
    from vdb.kernel import transactions

    def make(grow: Any) -> Any:
        return lambda hashes, size, leaf: grow(hashes, size, sha256(leaf).digest())

    return (Replacement(transactions, "grow", make),)


def the_record_before() -> tuple[Replacement, ...]:
    from vdb.node.evidence.leaves import TreeLeaves

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
