"""Who belongs to the groups of a node: what is known of each member, and how its members may change.

Rules
- Changes go through the group's primary, one at a time: each names the configuration that it was made from, and another
  one by then refuses it. A change that is done already is none, so asking twice is harmless.
- A node enters as a learner, and becomes a voter once it has caught up. A voter whose disk was lost leaves and enters
  again as a learner in one change, known by its new disk from then on.
- No change leaves a group without a quorum of voters that answer: it would never be committed.
- Names, addresses and disks of members are those that the state of the group holds; before its first reconfiguration
  those that the node was configured with and has met.
- A node is known by one disk to its peers, and by one to each group. When another group has recovered a node, its peers
  know the new disk, and this group still has to recover it: what isn't in the group's own state isn't written there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import evolve, frozen

from vdb.errors import InvalidArgument, LearnerBehind, NotReady
from vdb.kernel.command import MemberRow
from vdb.limits import REPLICAS_MAX
from vdb.node.config import MemberConfig, NodeConfig
from vdb.node.gate.answers import GroupHolders
from vdb.node.preparing.request import PlainReconfigure
from vdb.node.replication.group import Group
from vdb.status import MemberStatus
from vdb.types import GLOBAL_GROUP, GroupId, Region

SILENT_US_MAX = 2_000_000
"""A member that wasn't heard of for so long doesn't count as one that answers."""


@frozen(kw_only=True)
class Surroundings:
    """What the node knows of itself and of the others."""

    config: NodeConfig
    address: str
    """Where its clients find this node, unless `config.members` says so."""
    disk_id: bytes
    remembered: Callable[[int], bytes | None]
    """The disk that another node is known by."""
    was_replaced: Callable[[int, bytes], bool]
    """Whether a node has had this disk, and the log of a group has put another one in its place."""
    is_named_elsewhere: Callable[[GroupId, int], bool]
    """Whether another group than this one names that disk: then it may not be the one that this group knew."""
    clock_offsets: Callable[[], dict[int, int]]
    """Microseconds, by node number: how far its clock is ahead of this node's, where that is known."""


class Membership:
    """See the module's docstring. One per node."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._here = surroundings

    # What is known ---------------------------------------------------------------------------------------------

    @property
    def disk_id(self) -> bytes:
        return self._here.disk_id

    def status(self, group: Group) -> tuple[MemberStatus, ...]:
        """Voters, then learners, as this node sees them."""
        configuration = group.replica.configuration
        offsets = self._here.clock_offsets()
        return tuple(
            self._status_of(group, node, learner=node in configuration.learners, offset=offsets.get(node))
            for node in configuration.members
        )

    def holders(self, groups: Iterable[Group]) -> tuple[GroupHolders, ...]:
        """Who holds which group: of this node's own groups as they are, of the others as the configuration says."""
        config, own = self._here.config, {group.name: group for group in groups}
        found = [
            GroupHolders(name, tuple(one.address for one in self.status(group) if one.address))
            for name, group in own.items()
        ]
        others = dict.fromkeys([GroupId(region.name) for region in config.regions] + [GLOBAL_GROUP])
        for name in others:
            members = config.members_of(name)
            if name not in own and members:
                addresses = tuple(one.address for one in config.members if one.node in members)
                found.append(GroupHolders(name, addresses))
        return tuple(sorted(found, key=lambda one: (one.group == GLOBAL_GROUP, one.group)))

    def _status_of(self, group: Group, node: int, *, learner: bool, offset: int | None) -> MemberStatus:
        replica, row = group.replica, self._config_of(group, node)
        own = node == replica.replica
        peer = replica.peers.get(node)
        return MemberStatus(
            node=node,
            name=row.name,
            learner=learner,
            address=row.address,
            peer_address=row.peer_address,
            commit=replica.commit_number if own else 0 if peer is None else peer.commit,
            checkpoint_op=replica.checkpoint_op if own else 0 if peer is None else peer.checkpoint_op,
            heard_us=0 if own else self._silence_us(group, node),
            clock_offset_us=0 if own else offset,
        )

    def _silence_us(self, group: Group, node: int) -> int | None:
        """Microseconds since the node's last message; None if it was never heard."""
        peer = group.replica.peers.get(node)
        if peer is None or peer.heard < 0:
            return None
        return int((group.replica.tick - peer.heard) * self._here.config.tick_s * 1e6)

    def _answers(self, group: Group, node: int) -> bool:
        silence = self._silence_us(group, node)
        return node == group.replica.replica or (silence is not None and silence <= SILENT_US_MAX)

    def _config_of(self, group: Group, node: int) -> MemberConfig:
        """Name and addresses; empty where they aren't known."""
        for row in group.state.members():
            if row.node == node:
                return MemberConfig(
                    node=node,
                    name=row.name,
                    peer_address=row.peer_address,
                    address=row.address,
                    region=Region(row.region) if row.region else None,
                )
        config = self._here.config
        for member in config.members:
            if member.node == node:
                return member
        if node != group.replica.replica:
            return MemberConfig(node=node, name=f"node {node}", peer_address="", address="")
        return MemberConfig(
            node=node, name=config.name, peer_address=config.peer_address or "", address=self._here.address
        )

    # Changes ---------------------------------------------------------------------------------------------------

    def with_learner(self, group: Group, member: MemberRow) -> PlainReconfigure | None:
        """The node as a learner, or with other addresses. None: it is a member like this already."""
        configuration = group.replica.configuration
        if not member.region and len(self._here.config.regions) == 1:
            member = evolve(member, region=self._here.config.region.name)
        if member.node not in configuration.members:
            return self._change(group, configuration.voters, (*configuration.learners, member.node), member)
        held = self._row(group, member.node)
        if held.disk_id != member.disk_id:
            raise InvalidArgument(
                f"node {member.node} is a member of group {group.name} with another disk: if its disk was lost, "
                f"run vdb cluster recover --node {member.node}"
            )
        return None if held == member else self._change(group, configuration.voters, configuration.learners, member)

    def with_voter(self, group: Group, node: int) -> PlainReconfigure | None:
        """The learner as a voter. LearnerBehind; None: it is a voter already."""
        configuration = group.replica.configuration
        if node in configuration.voters:
            return None
        self._check_member(group, node)
        if len(configuration.voters) == REPLICAS_MAX:
            raise InvalidArgument(f"a group has at most {REPLICAS_MAX} voters: remove one first")
        self._check_caught_up(group, node)
        learners = tuple(learner for learner in configuration.learners if learner != node)
        return self._change(group, (*configuration.voters, node), learners)

    def without(self, group: Group, node: int) -> PlainReconfigure | None:
        """The group without this node. None: it isn't a member."""
        configuration = group.replica.configuration
        if node not in configuration.members:
            return None
        if node == group.replica.replica:
            raise InvalidArgument(f"node {node} is the primary of group {group.name}: let it abdicate, then remove it")
        voters = tuple(voter for voter in configuration.voters if voter != node)
        if node in configuration.voters:
            self._check_quorum(group, voters)
        return self._change(group, voters, tuple(learner for learner in configuration.learners if learner != node))

    def with_new_disk(self, group: Group, node: int, disk_id: bytes) -> PlainReconfigure | None:
        """The node as a learner, known by another disk. None: it is one already."""
        configuration = group.replica.configuration
        self._check_member(group, node)
        if node == group.replica.replica:
            raise InvalidArgument(f"node {node} is the primary of group {group.name}: its disk isn't lost")
        held = self._row(group, node)
        if held.disk_id == disk_id and not self._is_uncertain(group, node):
            if node in configuration.learners:
                return None
            raise InvalidArgument(
                f"node {node} answers with the disk that it is known by in group {group.name}: nothing is to be "
                "recovered"
            )
        if self._here.was_replaced(node, disk_id):
            raise InvalidArgument(
                f"node {node} answers with a disk that was replaced before: expected one that is new, start it on an "
                "empty data directory"
            )
        voters = tuple(voter for voter in configuration.voters if voter != node)
        if node in configuration.voters:
            self._check_quorum(group, voters)
        learners = tuple(learner for learner in configuration.learners if learner != node)
        return self._change(group, voters, (*learners, node), evolve(held, disk_id=disk_id))

    def _change(
        self, group: Group, voters: Sequence[int], learners: Sequence[int], changed: MemberRow | None = None
    ) -> PlainReconfigure:
        rows = {} if changed is None else {changed.node: changed}
        for node in (*voters, *learners):
            if node not in rows and not self._is_uncertain(group, node):
                rows[node] = self._row(group, node)
        return PlainReconfigure(
            base_epoch=group.state.membership().epoch,
            voters=tuple(voters),
            learners=tuple(learners),
            members=tuple(rows[node] for node in sorted(rows)),
        )

    def _is_uncertain(self, group: Group, node: int) -> bool:
        """Whether the disk that the node is known by may be one that this group doesn't know."""
        named = any(row.node == node for row in group.state.members())
        return not named and node != group.replica.replica and self._here.is_named_elsewhere(group.name, node)

    def _row(self, group: Group, node: int) -> MemberRow:
        for row in group.state.members():
            if row.node == node:
                return row if row.region else evolve(row, region=self._region_of(node))
        found = self._config_of(group, node)
        own = node == group.replica.replica
        disk_id = self._here.disk_id if own else self._here.remembered(node)
        if disk_id is None:
            raise NotReady(f"this node hasn't met node {node} yet, so it doesn't know its disk: try again later")
        if not found.peer_address:
            raise InvalidArgument(
                f"node {node} has no address for other nodes: start it with node.peer-address in its configuration"
            )
        return MemberRow(
            node=node,
            name=found.name,
            peer_address=found.peer_address,
            address=found.address or found.peer_address,
            disk_id=disk_id,
            region=self._region_of(node),
        )

    def _region_of(self, node: int) -> str:
        """Where a node is whose row doesn't say so: as the configuration has it, else in this node's own region."""
        config = self._here.config
        member = next((member for member in config.members if member.node == node), None)
        return (config.region if member is None else config.region_of(member)).name

    # Conditions ------------------------------------------------------------------------------------------------

    def _check_member(self, group: Group, node: int) -> None:
        members = group.replica.configuration.members
        if node not in members:
            raise InvalidArgument(
                f"node {node} isn't a member of group {group.name}: expected one of {', '.join(map(str, members))}"
            )

    def _check_caught_up(self, group: Group, node: int) -> None:
        """What a voter still lacks is repaired from the log, so it may be as much as lies between two checkpoints.

        It has committed the configuration that made it a learner: what was heard before may be of a disk that is lost.
        """
        replica = group.replica
        peer = replica.peers.get(node)
        commit, held = replica.commit_number, 0 if peer is None else peer.commit
        if not self._answers(group, node):
            raise LearnerBehind(
                f"node {node} doesn't answer: start it, then promote it; if it runs, its configuration may not name "
                f"those that are members now (vdb cluster prepare --node {node} --again)"
            )
        if held < max(replica.configuration.epoch, commit - group.limits.checkpoint_interval):
            raise LearnerBehind(f"node {node} has group {group.name} up to op {held} of {commit}: promote it later")

    def _check_quorum(self, group: Group, voters: Sequence[int]) -> None:
        if not voters:
            raise InvalidArgument(f"group {group.name} would have no voter left")
        configuration = evolve(group.replica.configuration, voters=tuple(voters), learners=(), base_index=0)
        needed = max(configuration.quorums.replication, configuration.quorums.view_change)
        silent = [voter for voter in voters if not self._answers(group, voter)]
        if len(voters) - len(silent) < needed:
            raise InvalidArgument(
                f"group {group.name} would have the voters {', '.join(map(str, voters))}, of which "
                f"{', '.join(map(str, silent))} don't answer: expected {needed} that do"
            )
