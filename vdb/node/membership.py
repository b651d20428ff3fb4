"""Who belongs to a group, in words for operators: what the configuration says of each, and what was heard of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import field, frozen

from vdb.kernel.command import MemberRow
from vdb.kernel.state import State
from vdb.node.answers import MemberStatus
from vdb.node.config import MemberConfig
from vdb.vsr.replica import Replica

_NEVER = -1
"""Ticks are counted from 0: what was heard before that wasn't."""


def _unknown(_node: int) -> int | None:
    return None


@frozen(kw_only=True)
class Directory:
    """What a node knows of the others beside the group's own state."""

    members: Mapping[int, MemberConfig] = field(factory=dict)
    """Those of the configuration file, by number."""
    clock_offset_us: Callable[[int], int | None] = _unknown
    """How far another node's clock is ahead of this one's; None: not measured."""

    def find(self, state: State, node: int) -> MemberConfig | None:
        """Name and addresses of a node: the state's, or else those of the configuration file."""
        row = next((row for row in state.members() if row.node == node), None)
        return self.members.get(node) if row is None else _of_row(row)


def _of_row(row: MemberRow) -> MemberConfig:
    return MemberConfig(node=row.node, name=row.name, peer_address=row.peer_address, address=row.address)


def member_status(replica: Replica, state: State, directory: Directory, tick_s: float) -> tuple[MemberStatus, ...]:
    """Voters, then learners, in the order of the configuration at the head of the log."""
    return tuple(_status(replica, state, directory, node, tick_s) for node in replica.configuration.members)


def _status(replica: Replica, state: State, directory: Directory, node: int, tick_s: float) -> MemberStatus:
    found = directory.find(state, node)
    own = node == replica.replica
    peer = replica.peers.get(node)
    heard = 0 if own else None
    if not own and peer is not None and peer.heard > _NEVER:
        heard = round((replica.tick - peer.heard) * tick_s * 1_000_000)
    return MemberStatus(
        node=node,
        name=found.name if found is not None else "",
        learner=node in replica.configuration.learners,
        address=found.address if found is not None else "",
        peer_address=found.peer_address if found is not None else "",
        commit=replica.commit_number if own else peer.commit if peer is not None else 0,
        checkpoint_op=replica.checkpoint_op if own else peer.checkpoint_op if peer is not None else 0,
        heard_us=heard,
        clock_offset_us=0 if own else directory.clock_offset_us(node),
    )
