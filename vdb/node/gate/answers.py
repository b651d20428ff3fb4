"""What the gate answers: values for the RPC server, the embedded face and the simulator."""

from __future__ import annotations

from attrs import field, frozen

from vdb.projections.comparing import Difference
from vdb.projections.source import OpenedRun
from vdb.types import DataClass, GroupId, Position, StreamId, TenantId
from vdb.values import fast_frozen


@fast_frozen(kw_only=True)
class StreamRange:
    """Where the events of one append went: offsets first_offset to next_offset - 1."""

    stream: str = field(repr=False)
    first_offset: int
    next_offset: int


@fast_frozen(kw_only=True)
class AppendResult:
    streams: tuple[StreamRange, ...]
    group: GroupId
    first_position: int
    next_position: int
    time: int
    """Microseconds UTC."""

    @property
    def position(self) -> Position:
        """What a projection must have applied up to, to show these events."""
        return Position(self.group, self.next_position)


@frozen(kw_only=True)
class ReadResult:
    runs: tuple[OpenedRun, ...]
    next_offset: int
    """Where to go on."""
    head: int
    """The stream's next offset when it was read."""


@frozen(kw_only=True)
class LogResult:
    runs: tuple[OpenedRun, ...]
    next_position: int
    """Where to go on."""
    head: int
    """The group's next position when it was read."""


@frozen(kw_only=True)
class StreamInfo:
    name: str = field(repr=False)
    stream: StreamId
    data_class: DataClass
    placement: str
    """A region's name, or 'global'."""
    next_offset: int
    created_at: int
    """Microseconds UTC."""


@frozen(kw_only=True)
class MemberStatus:
    """A member of a group, as this node sees it."""

    node: int
    name: str
    learner: bool
    address: str
    """host:port for clients; empty for a node that takes none."""
    peer_address: str
    commit: int
    """The highest that was heard of; its own for the node itself."""
    checkpoint_op: int
    heard_us: int | None
    """Microseconds since its last message; None: it was never heard; 0: the node itself."""
    clock_offset_us: int | None
    """Its clock minus this node's; None: not measured."""


@frozen(kw_only=True)
class GroupStatus:
    group: GroupId
    status: str
    view: int
    op: int
    commit: int
    checkpoint_op: int
    next_position: int
    tenants: int
    streams: int
    sessions: int
    disk_full: bool
    scrubbed_at: int
    """Microseconds UTC of the end of the last full scrub; 0: none yet."""
    scrub_faults: int
    primary: int
    """Number of the node that is the primary of the view."""
    primary_address: str
    """Where clients find it; empty: not known, or the group is between two views."""
    epoch: int
    """The op that made the configuration; 0: the founding one."""
    members: tuple[MemberStatus, ...]
    serving: bool
    """This node is the primary and answers."""
    still_us: int = 0
    """Microseconds for which requests have waited here without any commit; 0: none wait, or some commit."""
    policy_serial: int = 0
    """Of the policy that the group goes by; 0: none was applied."""
    unreviewed_grants: int = 0
    """Broken glasses of all tenants that nobody has reviewed."""


@frozen(kw_only=True)
class BuildingStatus:
    """Rows of a projection that are built beside those in use."""

    generation: int
    version: int
    done: int
    """Positions read."""
    total: int
    """Positions there are to read."""
    events_per_second: float
    eta_seconds: float | None
    """None: not known yet."""
    state: str
    """"building", "ready" (waits for the switch) or "failed"."""
    error: str


@frozen(kw_only=True)
class ProjectionStatus:
    tenant: TenantId
    name: str
    position: str
    lag: int
    """Events not yet applied."""
    error: str
    version: int
    generation: int
    """Of the file in use: it counts up with each that was built; 0: none is."""
    state: str
    """"following", "stopped", "held up" or "opening"."""
    age_us: int
    """Microseconds since the oldest event that isn't applied was appended; 0: all are applied."""
    head_age_us: int | None
    """Microseconds since the tenant's last event was appended; None: none was, or there are too many tenants."""
    previous: int
    """The generation to go back to; 0: none."""
    file_seconds: float
    """Since the position in the file last moved."""
    parked: int = 0
    skipped: int = 0
    building: BuildingStatus | None = None


@frozen(kw_only=True)
class NodeStatus:
    node: str
    region: str
    version: str
    groups: tuple[GroupStatus, ...]
    projections: tuple[ProjectionStatus, ...]
    uptime_seconds: float
    number: int
    """The node's, in the cluster."""
    cluster: bytes
    disk_id: bytes
    clock_synchronised: bool


@frozen
class GroupHolders:
    """A group, and the addresses of the nodes that hold it, for clients."""

    group: GroupId
    addresses: tuple[str, ...]


@frozen(kw_only=True)
class RowDifferences:
    """How the rows built beside differ from those in use. The first differences, and the number of all."""

    differences: tuple[Difference, ...] = field(repr=False)
    count: int
    position_before: str
    position_after: str


@frozen(kw_only=True)
class RowsResult:
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...] = field(repr=False)
    position: str
