"""What is left of what destroyed keys had sealed: records, leaves, and nobody who opens them. Looked up by each node.

A node reads its own log, finds the records by the keys in their headers, and tries to open some of them. Leaves are
numbered as in the tenant's tree of data, so who has the tree can tell which of them stand for what was erased.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from vdb.crypto.record import decode_record, open_body
from vdb.errors import KeyUnavailable
from vdb.kernel.erasure_rows import Erasure
from vdb.node.replication.group import Group
from vdb.storage.event_log import Frame
from vdb.types import TenantId

RANGES_MAX = 64
"""Of leaves, that a node tells of; it counts the others."""
TRIED_MAX = 64
"""Records that are tried to be opened."""


@define
class Run:
    """Records that follow each other in the tenant's log: numbers of their leaves and positions, last ones included."""

    first_leaf: int
    last_leaf: int
    first_position: int
    last_position: int


@define
class Remains:
    records: int = 0
    pruned: int = 0
    """Of which no sealed bytes are left."""
    tried: int = 0
    opened: int = 0
    runs: list[Run] = field(factory=list)
    untold: int = 0
    """Runs beyond those that are told."""

    def add(self, leaf: int, frame: Frame) -> None:
        last = frame.position + frame.count - 1
        self.records += 1
        if self.runs and self.runs[-1].last_leaf == leaf - 1:
            self.runs[-1].last_leaf, self.runs[-1].last_position = leaf, last
        elif len(self.runs) < RANGES_MAX:
            self.runs.append(Run(leaf, leaf, frame.position, last))
        else:
            self.untold += 1

    def told(self) -> dict[str, Any]:
        """As it stands in a node's statement: numbers as text, ranges with both ends."""
        return {
            "records": str(self.records),
            "pruned": str(self.pruned),
            "tried-to-open": str(self.tried),
            "opened": str(self.opened),
            "leaves": [[str(run.first_leaf), str(run.last_leaf)] for run in self.runs],
            "positions": [[str(run.first_position), str(run.last_position)] for run in self.runs],
            "ranges-left-out": str(self.untold),
        }


async def find_remains(group: Group, tenant: TenantId, erasures: Sequence[Erasure]) -> Mapping[int, Remains]:
    """By erasure, in one pass over the tenant's log. DamagedData where it can't be read."""
    found = {erasure.erasure: Remains() for erasure in erasures}
    by_key = {key.dek_id: found[erasure.erasure] for erasure in erasures for key in erasure.keys}
    position, leaf, head = 0, 0, group.state.tenant_head(tenant)
    while position < head:
        frames = await group.event_log.read_log(tenant, position, group.limits.read_bytes_max)
        if not frames:
            break
        for frame in frames:
            _look(group, by_key, leaf, frame)
            leaf += 1
        position = frames[-1].position + frames[-1].count
    return found


def _look(group: Group, by_key: Mapping[bytes, Remains], leaf: int, frame: Frame) -> None:
    record = decode_record(frame.record)
    remains = by_key.get(record.header.dek_id)
    if remains is None:
        return
    remains.add(leaf, frame)
    if record.is_pruned:
        remains.pruned += 1
    elif remains.tried < TRIED_MAX:
        remains.tried += 1
        try:
            open_body(record.header_bytes, group.keyring.key(record.header.dek_id), record.body)
        except KeyUnavailable:
            return
        remains.opened += 1
