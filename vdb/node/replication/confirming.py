"""Proofs that no newer primary has served anybody: what a read must have before it may claim to be linearizable.

A read that comes while a proof is on its way waits for the next one, since the one under way began before it. All that
wait share a proof, so there is at most one on its way.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import define, field

from vdb.errors import NotPrimary
from vdb.marks import mark


@define(eq=False)
class _Proof:
    done: trio.Event = field(factory=trio.Event)
    error: NotPrimary | None = None


class Confirmer:
    """One for each time that a group is opened. `ask(number)` has the replica look for a proof."""

    def __init__(self, ask: Callable[[int], None]) -> None:
        self._ask = ask
        self._number = 0
        self._asked: _Proof | None = None
        self._next: _Proof | None = None

    async def confirm(self) -> None:
        """Wait for a proof that began after this call. NotPrimary when this node ceases to be primary before."""
        proof = self._next
        if proof is None:
            proof = self._next = _Proof()
            if self._asked is None:
                self._ask_next()
        await proof.done.wait()
        if proof.error is not None:
            raise proof.error

    def confirmed(self, number: int) -> None:
        """The replica has the proof of this number."""
        if self._asked is None or number != self._number:
            mark("confirming.stale")
            return
        self._asked.done.set()
        self._asked = None
        if self._next is not None:
            self._ask_next()

    def fail(self, error: NotPrimary) -> None:
        """This node isn't primary any more."""
        proofs, self._asked, self._next = (self._asked, self._next), None, None
        self._number += 1
        for proof in proofs:
            if proof is not None:
                proof.error = error
                proof.done.set()

    def _ask_next(self) -> None:
        self._asked, self._next = self._next, None
        self._number += 1
        self._ask(self._number)
