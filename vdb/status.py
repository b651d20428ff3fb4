"""What a node says of itself: its groups, their members, its projections. Times are microseconds UTC."""

from __future__ import annotations

from attrs import frozen

from vdb.types import GroupId, Position


@frozen(kw_only=True)
class MemberStatus:
    """A member of a group, as the node sees it that was asked."""

    node: int
    name: str
    learner: bool
    address: str
    """host:port for clients."""
    peer_address: str
    commit: int
    """The highest that was heard of."""
    checkpoint_op: int
    heard_us: int | None
    """Microseconds since its last message; None: it was never heard; 0: the node itself."""
    clock_offset_us: int | None
    """Its clock minus that of the node that was asked; None: not measured."""


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
    scrubbed_at: int
    """The end of the last full scrub; 0: none yet."""
    scrub_faults: int
    primary: int
    """Number of the node that is the primary of the view."""
    primary_address: str
    """Where clients find it; empty: not known, or the group is between two views."""
    epoch: int
    """The op that made the configuration; 0: the founding one."""
    members: tuple[MemberStatus, ...]
    serving: bool
    """The node is the primary and answers."""
    disk_full: bool
    still_us: int = 0
    """Microseconds for which requests have waited there without any commit; 0: none wait, or some commit."""
    policy_serial: int = 0
    """Of the policy that the group goes by; 0: none was applied."""
    unreviewed_grants: int = 0
    """Broken glasses of all tenants that nobody has reviewed."""
    cosigned_at: int = 0
    """Microseconds UTC: when witnesses signed the tree that waits longest; 0: one never was."""
    witnesses: int = 0
    """Whom the node asks to cosign the trees of what it leads; 0: nobody."""


@frozen(kw_only=True)
class ProjectionBuilding:
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
    """Of a check that doesn't hold, or of a handler."""


@frozen(kw_only=True)
class ProjectionStatus:
    tenant: int
    name: str
    position: tuple[Position, ...]
    lag: int
    """Events not yet applied."""
    error: str
    """Why it stopped, or empty."""
    version: int = 1
    generation: int = 1
    """Of the file in use: it counts up with each that was built; 0: none is."""
    state: str = "following"
    """"following", "stopped", "held up" or "opening"."""
    age_us: int = 0
    """Microseconds since the oldest event that isn't applied was appended; 0: all are applied."""
    head_age_us: int | None = None
    """Microseconds since the tenant's last event was appended; None: none was, or there are too many tenants."""
    parked: int = 0
    skipped: int = 0
    previous: int = 0
    """The generation to go back to; 0: none."""
    file_seconds: float = 0.0
    """Since the position in the file last moved."""
    building: ProjectionBuilding | None = None


@frozen(kw_only=True)
class NodeStatus:
    node: str
    region: str
    version: str
    groups: tuple[GroupStatus, ...]
    projections: tuple[ProjectionStatus, ...]
    uptime_seconds: float
    number: int
    cluster: bytes
    disk_id: bytes
    """16 bytes: what the others know its data directory by."""
    clock_synchronised: bool
