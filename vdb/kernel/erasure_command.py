"""Commands by which data end: erasures and their acknowledgements, legal holds, retention, pruning.

A subject is named by the lookup of its name (32 bytes): nobody finds the name without the tenant's key. What may not be
said in clear is sealed by the primary, under the tenant's catalogue key.
"""

from __future__ import annotations

from attrs import field, frozen

from vdb.types import DataClass, TenantId


@frozen(kw_only=True)
class EraseSubject:
    """Destroy a subject's keys: what they sealed can't be opened any more, by anybody."""

    tenant: TenantId
    subject: bytes = field(repr=False)
    """Lookup of the subject's name; empty: a retention has ended, and the keys are of periods that are over."""
    dek_ids: tuple[bytes, ...]
    """All keys of the subject that the key store holds, as the primary predicts, in their order."""
    basis: str
    """Why, in clear, where no person has said it: a retention has ended. Empty where it is sealed."""
    by: str
    """The principal who asked."""
    members: tuple[int, ...]
    """Numbers of the nodes that hold the keys, and each have to overwrite what they hold."""
    sealed: bytes = field(default=b"", repr=False)
    """The legal ground that somebody has given, such as "GDPR 17(1)(b)"."""
    judged: int = 0
    """One above the serial of the tenant's holds and rules of retention by which the primary has judged that nothing
    stands against it; 0: of a log from before that was said."""


@frozen(kw_only=True)
class AckErasure:
    """A node's word that its key store, WAL and checkpoints that held the keys are overwritten and synced."""

    tenant: TenantId
    erasure: int
    node: int
    statement: bytes = field(repr=False)
    """JSON."""
    signature: bytes = field(repr=False)
    """Of the node's key over the statement."""


@frozen(kw_only=True)
class PutHold:
    """Nothing that the hold covers is erased until it is released."""

    tenant: TenantId
    subject: bytes = field(repr=False)
    """Lookup of a subject's keys; empty: it holds streams."""
    sealed: bytes = field(repr=False)
    """JSON: subject, stream, reason."""


@frozen(kw_only=True)
class ReleaseHold:
    tenant: TenantId
    hold: int
    sealed: bytes = field(repr=False)
    """The reason."""


@frozen(kw_only=True)
class PutRetention:
    """How long the events of some streams are kept: not erased before, expired after."""

    tenant: TenantId
    lookup: bytes = field(repr=False)
    """Of the stream's name or pattern."""
    data_class: DataClass
    days: int
    """0: there is no rule for it any more."""
    sealed: bytes = field(repr=False)
    """The name or pattern."""


@frozen(kw_only=True)
class PrunedSegment:
    """A closed segment of a tenant's event log, and the stub that takes its place."""

    segment: int
    first_position: int
    next_position: int
    """One above its last event's."""
    length: int
    """Bytes of the segment."""
    stub_length: int
    stub_crc: int


@frozen(kw_only=True)
class Prune:
    """The sealed bytes of whole segments go: what is in them has expired or can't be opened."""

    tenant: TenantId
    segments: tuple[PrunedSegment, ...]
    judged: int
    """Serial of the tenant's holds and rules of retention by which the primary has judged that."""
    by: str
    """The principal who asked."""


ErasureCommand = EraseSubject | AckErasure | PutHold | ReleaseHold | PutRetention | Prune
