"""A witness under crashes, asked by a log that shows several histories: what it cosigns is one history.

The log signs whatever it is asked for: histories that are the same up to a leaf and part there, in any order, several
requests at once. The witness's machine crashes at any call of its disk or clock, and comes back with what that left.

W1  Of any two trees that were cosigned, one begins with the other.
W2  What was cosigned is held: once somebody has a cosignature, no smaller tree is the witness's last.
"""

from __future__ import annotations

from functools import cache
from random import Random

import trio

from sim.world import DiskFaults, SimNode, SimUniverse, absorb_crash
from vdb.crypto.signing import SigningKey
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.merkle import Frontier, consistency_proof, leaf_hash
from vdb.evidence.note import VerifierKey, sign_note
from vdb.evidence.witness import AddCheckpoint, Status
from vdb.types import Region
from vdb.witness.holding import Witness

ORIGIN = "veritydb/00/us-east-1/t-1/audit"
FAULTS = DiskFaults(lose_unsynced=0.6, tear=0.3, reorder=0.3, lose_names=0.5)
INCARNATIONS, ASKERS, REQUESTS = 12, 3, 4
SIZE_MAX = 24
_LOG, _WITNESS = SigningKey(b"l" * 32), SigningKey(b"w" * 32)
_PARTS_AT = {"true": SIZE_MAX, "early": 3, "late": 11}
"""Histories, and the leaf from which on each is another than the true one."""


class TwoHistories(AssertionError):
    """An invariant is broken."""


def _leaf(history: str, number: int) -> bytes:
    return leaf_hash(f"{history if number >= _PARTS_AT[history] else 'true'} {number}".encode())


@cache
def _root(history: str, first: int, end: int) -> Frontier:
    found = Frontier()
    for number in range(first, end):
        found = found.append(_leaf(history, number))
    return found


def _tree(history: str, size: int) -> Checkpoint:
    return Checkpoint(ORIGIN, size, _root(history, 0, size).root())


def _request(history: str, old: int, size: int) -> AddCheckpoint:
    path: tuple[bytes, ...] = ()
    if 0 < old < size:
        path = consistency_proof(
            lambda level, index: _root(history, index << level, (index + 1) << level).root(), old, size
        )
    return AddCheckpoint(old, path, sign_note(str(_tree(history, size)), [(ORIGIN, _LOG)]))


class Torture:
    """One run: `run` in the universe of a seed, then `check`."""

    def __init__(self, universe: SimUniverse) -> None:
        self._random = Random(universe.seed)
        self._node: SimNode = universe.node("witness", Region("us-east-1"), disk_faults=FAULTS)
        self._calls_left = 0
        self.cosigned: list[tuple[str, int]] = []
        """Histories and sizes, as somebody got the cosignature."""

    async def run(self) -> None:
        for _ in range(INCARNATIONS):
            self._calls_left = self._random.randrange(2, 60)
            self._node.on_port_call = self._count_call
            with absorb_crash():
                await self._live()
            if self._node.running:
                self._node.on_port_call = lambda kind: None
                self._node.crash()

    def check(self) -> None:
        """TwoHistories."""
        for history, size in self.cosigned:
            for other, larger in self.cosigned:
                if size <= larger and _root(history, 0, size) != _root(other, 0, size):
                    raise TwoHistories(f"W1: {size} leaves of {history!r} and {larger} of {other!r} were cosigned")

    def _count_call(self, _kind: str) -> None:
        self._calls_left -= 1
        if self._calls_left == 0:
            self._node.crash()

    async def _live(self) -> None:
        world = self._node.boot()
        logs = {ORIGIN: (VerifierKey(ORIGIN, _LOG.public),)}
        witness = Witness(world.disk, world.clock, "w.example", _WITNESS, logs)
        await witness.open()
        held = witness.held(ORIGIN)
        largest = max((size for _, size in self.cosigned), default=0)
        if (0 if held is None else held.size) < largest:
            raise TwoHistories(f"W2: {largest} leaves were cosigned, and the witness knows {held}")
        async with trio.open_nursery() as nursery:
            for _ in range(ASKERS):
                nursery.start_soon(self._ask, witness)

    async def _ask(self, witness: Witness) -> None:
        for _ in range(REQUESTS):
            held = witness.held(ORIGIN)
            old = 0 if held is None else held.size
            history = self._random.choice(list(_PARTS_AT))
            size = self._random.randrange(old, min(SIZE_MAX, old + 6) + 1)
            status, _, _ = await witness.add_checkpoint(_request(history, old, size).encode())
            if status == Status.COSIGNED:
                self.cosigned.append((history, size))
