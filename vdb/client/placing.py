"""Of every record of a tenant, in every group, the region that it is sealed for.

The leaves of a tree hold their records' headers. Those that a node shows are hashed here: they are all leaves, and no
other, if they have the root of the head that the node has signed. So nothing can be left out, and no header is another
than the one that each record was sealed with.
"""

from __future__ import annotations

from collections import Counter

from attrs import define, field, frozen

from vdb.client.evidence_face import EvidenceFace
from vdb.client.evidence_line import TreeHead
from vdb.errors import EvidenceInvalid
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.merkle import Frontier, leaf_hash
from vdb.types import GLOBAL_GROUP, DataClass, GroupId, TenantId, audit_log_of
from vdb.verifier.faults import Fault
from vdb.verifier.records import SealedHeader, read_leaf_data


@frozen(kw_only=True)
class Stray:
    """A leaf that names a place where it doesn't lie, or mustn't."""

    index: int
    why: str


@define
class Placed:
    """The leaves of one tree, as they are read. `add` each in order, then `check`."""

    group: GroupId
    log: TenantId
    """Number of the tree's log: the tenant's, or that of its audit log."""
    regions: Counter[tuple[str, str]] = field(factory=Counter)
    """Records by class and region."""
    strays: list[Stray] = field(factory=list)
    _frontier: Frontier = field(factory=Frontier)

    @property
    def size(self) -> int:
        return self._frontier.size

    def add(self, leaf: bytes) -> None:
        """EvidenceInvalid for what is no leaf."""
        try:
            header = read_leaf_data(leaf)
            data_class = DataClass(header.data_class)
        except (Fault, ValueError) as error:
            raise EvidenceInvalid(f"leaf {self.size} of {self.group} isn't one of a record: {error}") from None
        self.regions[data_class.label, header.region] += 1
        why = self._astray(header, data_class)
        if why:
            self.strays.append(Stray(index=self.size, why=why))
        self._frontier = self._frontier.append(leaf_hash(leaf))

    def _astray(self, header: SealedHeader, data_class: DataClass) -> str:
        if header.region != self.group:
            return f"sealed for {header.region}, and lies in {self.group}"
        if data_class is DataClass.PHI and self.group == GLOBAL_GROUP:
            return "PHI, and lies in the global group"
        return "" if header.tenant == self.log else f"of the log {header.tenant}"

    def check(self, head: Checkpoint) -> None:
        """EvidenceInvalid where these aren't the leaves of the tree that was signed for."""
        if (self.size, self._frontier.root()) != (head.size, head.root):
            raise EvidenceInvalid(
                f"the {self.size} leaves that were shown aren't those of the signed head of {head.origin}: expected "
                f"the root {head.root.hex()} of {head.size}, found {self._frontier.root().hex()}"
            )


async def read_placed(face: EvidenceFace, head: TreeHead, group: GroupId, tenant: TenantId, family: str) -> Placed:
    """All leaves of a head's tree. EvidenceInvalid where those that are shown aren't its."""
    placed = Placed(group, audit_log_of(tenant) if family == "audit" else tenant)
    while placed.size < head.checkpoint.size:
        leaves, _ = await face.tree_leaves(group, placed.size, head.checkpoint.size - placed.size, family=family)
        if not leaves:
            break
        for leaf in leaves:
            placed.add(leaf)
    placed.check(head.checkpoint)
    return placed
