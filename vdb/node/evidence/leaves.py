"""The leaves of a Merkle tree, made again from a tenant's log, of data or of audit: what proofs are built of.

The replicated state has the tree's right edge alone. Who wants a proof has all records read once, from the first on;
what comes later is read when the next proof is asked for.

Rules
- Leaves are in commit order: the order of positions.
- The hash of each whole subtree of 256 leaves, of 65,536, ... is kept, so a proof costs a few hundred hashes however
  long the log is; nothing here holds up the loop for longer than one read of the log takes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict

import trio

from vdb.crypto.record import record_leaf
from vdb.evidence.merkle import HASH_SIZE, node_hash
from vdb.evidence.tiles import TILE_WIDTH
from vdb.node.replication.group import Group
from vdb.rare import rare
from vdb.types import TenantId

TENANTS_KEPT = 16
_TILE_BITS = TILE_WIDTH.bit_length() - 1


class TreeLeaves:
    """Of one tenant in one group, as far as they were read."""

    def __init__(self, group: Group, tenant: TenantId) -> None:
        self._group = group
        self._tenant = tenant
        self._levels: list[bytearray] = [bytearray()]
        """Hashes of subtrees of 256**n leaves, one behind the other, by n."""
        self._positions = array("Q")
        self._next_position = 0
        """Behind the last record: one of several events has as many positions."""
        self._reading = trio.Lock()

    @property
    def size(self) -> int:
        return len(self._positions)

    async def read(self, size: int) -> None:
        """Read on until there are so many leaves, which the log must hold."""
        async with self._reading:
            while self.size < size:
                start = self._next_position
                frames = await self._group.storage.event_log.read_log(
                    self._tenant, start, self._group.limits.read_bytes_max
                )
                assert frames, f"the log of tenant {self._tenant} ends after {self.size} records: expected {size}"
                for frame in frames:
                    assert frame.position >= start, "a record was read twice"
                    self._positions.append(frame.position)
                    self._add(record_leaf(frame.record))
                    self._next_position = frame.position + frame.count
                await trio.lowlevel.checkpoint()

    def index_at(self, position: int) -> int:
        """The number of the leaf whose record begins at this position."""
        index = bisect_left(self._positions, position)
        assert self._positions[index] == position, f"no record begins at position {position}"
        return index

    def position_of(self, index: int) -> int:
        """The position where the record of this leaf begins."""
        return self._positions[index]

    def hash_at(self, level: int, index: int) -> bytes:
        """`vdb.evidence.merkle.HashAt`, of subtrees that are whole."""
        if level % _TILE_BITS == 0 and level // _TILE_BITS < len(self._levels):
            kept = self._levels[level // _TILE_BITS]
            found = bytes(kept[index * HASH_SIZE : (index + 1) * HASH_SIZE])
            assert len(found) == HASH_SIZE, f"subtree {index} of level {level} isn't whole"
            return found
        return node_hash(self.hash_at(level - 1, 2 * index), self.hash_at(level - 1, 2 * index + 1))

    def _add(self, leaf: bytes) -> None:
        self._levels[0] += leaf
        number, count = 0, self.size
        while count % TILE_WIDTH == 0:
            count //= TILE_WIDTH
            if number + 1 == len(self._levels):
                self._levels.append(bytearray())
            self._levels[number + 1] += _root(self._levels[number][-TILE_WIDTH * HASH_SIZE :])
            number += 1


class LeavesCache:
    """The leaves of the tenants that were asked for last."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._kept: OrderedDict[TenantId, TreeLeaves] = OrderedDict()

    def of(self, tenant: TenantId) -> TreeLeaves:
        if rare("leaves.forgotten"):
            self._kept.clear()
        found = self._kept.get(tenant)
        if found is None:
            found = self._kept[tenant] = TreeLeaves(self._group, tenant)
            if len(self._kept) > TENANTS_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(tenant)
        return found


def _root(tile: bytes | bytearray) -> bytes:
    """Of a full tile's hashes."""
    hashes = [bytes(tile[at : at + HASH_SIZE]) for at in range(0, len(tile), HASH_SIZE)]
    while len(hashes) > 1:
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]
