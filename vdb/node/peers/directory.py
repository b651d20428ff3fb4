"""Names and addresses of the nodes of a cluster: the group's state, or else the configuration file, has them."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from vdb.kernel.command import MemberRow
from vdb.kernel.state import State
from vdb.node.config import MemberConfig
from vdb.types import Region


@frozen(kw_only=True)
class Directory:
    """What a node was told of the others when it was configured, by number."""

    members: Mapping[int, MemberConfig] = field(factory=dict)

    def find(self, state: State, node: int) -> MemberConfig | None:
        """What is known of a node, by this state of a group."""
        row = next((row for row in state.members() if row.node == node), None)
        return self.members.get(node) if row is None else _of_row(row)


def _of_row(row: MemberRow) -> MemberConfig:
    return MemberConfig(
        node=row.node,
        name=row.name,
        peer_address=row.peer_address,
        address=row.address,
        region=Region(row.region) if row.region else None,
    )
