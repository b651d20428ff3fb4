"""What a node is told. The command line and TOML files make one of these; the simulator draws one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import evolve, field, frozen

from vdb.crypto.root import RootKeys
from vdb.errors import ConfigError
from vdb.limits import NODE_NUMBER_MAX, REPLICAS_MAX, Limits
from vdb.node.audit.cosigning_settings import CosigningSettings
from vdb.node.gate.gate_settings import GateSettings
from vdb.node.identity.identities import IdentitySettings
from vdb.node.peers.peer_settings import PeerSettings
from vdb.projections.config import ProjectionConfig
from vdb.projections.given import as_configs
from vdb.types import DEFAULT_ADDRESS, GLOBAL_GROUP, GroupId, Region
from vdb.vsr.configuration import Configuration
from vdb.vsr.timing import Timing

CLUSTER_ID_SIZE = 16


@frozen(kw_only=True)
class MemberConfig:
    """A node of a cluster, as the configuration of each node lists it."""

    node: int
    """Its number: unique in the cluster, for ever."""
    name: str
    peer_address: str
    """`host:port` for other nodes."""
    address: str
    """`host:port` for clients."""
    region: Region | None = None
    """None: the region of the node whose configuration this is."""
    holds_global: bool = True
    """Whether it takes part in the global group."""


@frozen(kw_only=True)
class NodeConfig:
    """`limits` count when the data directory is created; later the ones in the superblock hold."""

    region: Region
    root_keys: RootKeys = field(repr=False)
    reload_keys: Callable[[], Awaitable[RootKeys]] | None = field(default=None, repr=False)
    """Asks where the root keys come from once more: before a rotation, they may be others. None: they stay."""
    key_period_days: int = 30
    """After so many days what is sealed for a tenant has new data keys; 0: only when a rotation is asked for."""
    name: str = "node-1"
    address: str | None = DEFAULT_ADDRESS
    """`host:port` to listen on; None: no door but the embedded one."""
    limits: Limits = field(factory=Limits)
    projections: tuple[ProjectionConfig, ...] = field(default=(), converter=as_configs)
    """Given in any form (`vdb.projections.given`)."""
    reserve_wal: bool = False
    """A new data directory takes the blocks of its write-ahead logs at once, so that a full disk can't stop them."""
    scrub_period_s: float = 7 * 24 * 3600.0
    """Everything at rest is read once within this time."""
    connections_max: int = 1024
    node: int = 0
    """The node's number."""
    members: tuple[MemberConfig, ...] = ()
    """The nodes with which the cluster begins, or of the cluster that this node joins. Empty: it is alone."""
    cluster: bytes | None = None
    """16 bytes, the same for all nodes; None: drawn when the data directory is created, for a node that is alone."""
    peer_address: str | None = None
    """`host:port` to listen on for other nodes; None: a node that is alone doesn't listen."""
    join: bool = False
    """A new data directory belongs to a node that isn't a member yet, or whose disk was lost."""
    timing: Timing = field(factory=Timing)
    tick_s: float = 0.01
    peers: PeerSettings = field(factory=PeerSettings)
    gate: GateSettings = field(factory=GateSettings)
    identity: IdentitySettings = field(factory=IdentitySettings)
    cosigning: CosigningSettings = field(factory=CosigningSettings)
    """Who cosigns heads of what this node leads, and how often."""

    def __attrs_post_init__(self) -> None:
        numbers = [member.node for member in self.members]
        if len(dict.fromkeys(numbers)) != len(numbers):
            raise ConfigError("members: each node has a number of its own; found one twice")
        if any(not 0 <= number <= NODE_NUMBER_MAX for number in (self.node, *numbers)):
            raise ConfigError(f"a node's number lies between 0 and {NODE_NUMBER_MAX}")
        if not self.members:
            if self.join:
                raise ConfigError(
                    "a node that joins needs the members of its cluster: expected [[members]], found none"
                )
            return
        if self.cluster is None or len(self.cluster) != CLUSTER_ID_SIZE:
            raise ConfigError("a node of a cluster needs the cluster's id: expected cluster = 32 hex digits")
        if self.peer_address is None:
            raise ConfigError("a node of a cluster needs an address for other nodes: expected peer_address = HOST:PORT")
        if not self.join and self.node not in numbers:
            raise ConfigError(f"members: expected node {self.node} among them, found {sorted(numbers)}")
        own = self._own_entry
        if own is not None and self.region_of(own) != self.region:
            raise ConfigError(f"members: node {self.node} is in region {own.region} there, and in {self.region} itself")
        for group in (GroupId(region.name) for region in self.regions):
            self._check_size(group)
        self._check_size(GLOBAL_GROUP)

    def _check_size(self, group: GroupId) -> None:
        count = len(self.members_of(group))
        if not self.join and count > REPLICAS_MAX:
            raise ConfigError(f"members: a group begins with at most {REPLICAS_MAX} nodes; found {count} of {group}")
        if group == GLOBAL_GROUP and not count:
            raise ConfigError("members: no node holds the global group: expected one at least")
        if self.join and group in self.groups and not [node for node in self.members_of(group) if node != self.node]:
            raise ConfigError(
                f"members: nobody else holds group {group}, so there is nothing to join: a region begins with its "
                "cluster"
            )

    @property
    def _own_entry(self) -> MemberConfig | None:
        return next((member for member in self.members if member.node == self.node), None)

    def region_of(self, member: MemberConfig) -> Region:
        """Where a node is."""
        return member.region or self.region

    @property
    def regions(self) -> tuple[Region, ...]:
        """Of all members, this node's first."""
        return tuple(dict.fromkeys([self.region, *map(self.region_of, self.members)]))

    @property
    def holds_global(self) -> bool:
        """Whether this node takes part in the global group, as its own entry among the members says."""
        own = self._own_entry
        return own is None or own.holds_global

    @property
    def groups(self) -> tuple[GroupId, ...]:
        """Those that this node is a member of."""
        home = GroupId(self.region.name)
        return (home, GLOBAL_GROUP) if self.holds_global else (home,)

    def members_of(self, group: GroupId) -> tuple[int, ...]:
        """Numbers of those that hold this group, by the configuration."""
        held = [
            member.node
            for member in self.members
            if (member.holds_global if group == GLOBAL_GROUP else self.region_of(member).name == group)
        ]
        return tuple(sorted(held))

    @property
    def founding(self) -> tuple[int, ...]:
        """Numbers of the nodes with which this node's groups begin; none for a node that joins them."""
        if self.join:
            return ()
        return self.neighbours or (self.node,)

    @property
    def neighbours(self) -> tuple[int, ...]:
        """Numbers of the members that share a group with this node, its own among them: those it has links with."""
        return tuple(sorted({node: None for group in self.groups for node in self.members_of(group)}))

    def first_configuration(self, group: GroupId) -> Configuration:
        """Of a group of a new data directory: the founding one, or the guess of a node that joins."""
        members = self.members_of(group)
        if not self.join:
            return Configuration.founding(members or (self.node,))
        # Learners among them may make them more than a group can have voters; each of them has an address anyway.
        voters = tuple(node for node in members if node != self.node)[:REPLICAS_MAX]
        return evolve(Configuration.founding(voters), learners=(self.node,))
