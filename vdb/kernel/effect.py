"""Effects: what the shell must do after an op commits, as values, in order."""

from __future__ import annotations

from attrs import field, frozen

from vdb.kernel.command import KeyRow
from vdb.kernel.erasure_command import PrunedSegment
from vdb.types import StreamId, TenantId
from vdb.values import fast_frozen


@fast_frozen
class AppendRecord:
    """Append one sealed record to the tenant's event log."""

    tenant: TenantId
    stream: StreamId
    first_offset: int
    first_position: int
    count: int
    record: bytes = field(repr=False)


@fast_frozen
class WakeProjection:
    """Events of this tenant were appended: its projections and followers have something to read."""

    tenant: TenantId


@frozen
class StoreKey:
    """A key row entered the key store, or was wrapped anew."""

    row: KeyRow


@frozen
class TurnToRootKey:
    """A rotation has begun: from here on this root key wraps what is new."""

    root_key_id: bytes


@frozen
class EvictSession:
    """A session made room for another one. Its client gets SESSION_EXPIRED from now on."""

    session: int


@frozen
class ChangeMembers:
    """The group has a new configuration; the state that this op makes holds its members."""

    epoch: int


@fast_frozen
class WakeConsumer:
    """A consumer group may have something to hand out, or has ended."""

    tenant: TenantId
    lookup: bytes = field(repr=False)


@frozen
class DestroyKeys:
    """A subject was erased: nothing opens what these keys have sealed, and the disk is to be rid of them."""

    tenant: TenantId
    erasure: int
    dek_ids: tuple[bytes, ...]


@frozen
class PruneSegments:
    """The sealed bytes of these segments are to go from the disk; their stubs take their place."""

    tenant: TenantId
    segments: tuple[PrunedSegment, ...]


Effect = (
    AppendRecord
    | WakeProjection
    | StoreKey
    | TurnToRootKey
    | DestroyKeys
    | PruneSegments
    | EvictSession
    | ChangeMembers
    | WakeConsumer
)
