"""Requests by which data end, as they come through the gate: names in clear."""

from __future__ import annotations

from attrs import field, frozen

from vdb.kernel.erasure_command import PrunedSegment
from vdb.node.erasure.watching import Watch
from vdb.types import DataClass, TenantId

SEAL_SIZE = 640
"""Bytes that a sealed text may take beside itself: header, seal, framing, and a new key's row."""
KEY_SIZE = 32
"""Of a destroyed key's id, with its framing."""
PRUNED_SIZE = 64
"""Of what is said of a pruned segment, with its framing."""


@frozen(kw_only=True)
class PlainErase:
    tenant: TenantId
    subject: str = field(repr=False)
    basis: str = field(repr=False)
    by: str
    members: tuple[int, ...]
    """Nodes that hold the keys."""
    keys_max: int
    """So many keys may the subject have, at most."""
    judged: int = 0
    """See `vdb.kernel.erasure_command.EraseSubject`."""
    watch: Watch | None = None

    @property
    def size(self) -> int:
        return KEY_SIZE * self.keys_max + 6 * len(self.basis) + 4 * len(self.by) + 3 * SEAL_SIZE


@frozen(kw_only=True)
class PlainExpire:
    """A retention has ended: these keys of periods that are over go."""

    tenant: TenantId
    dek_ids: tuple[bytes, ...]
    by: str
    members: tuple[int, ...]
    keys_max: int
    """With those of files, at most."""
    judged: int = 0

    @property
    def size(self) -> int:
        return KEY_SIZE * self.keys_max + 4 * len(self.by) + SEAL_SIZE


@frozen(kw_only=True)
class PlainAck:
    tenant: TenantId
    erasure: int
    node: int
    statement: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def size(self) -> int:
        return len(self.statement) + len(self.signature) + KEY_SIZE


@frozen(kw_only=True)
class PlainHold:
    tenant: TenantId
    subject: str = field(repr=False)
    """Empty: of streams."""
    stream: str = field(repr=False)
    """A name, PREFIX*, or empty for all."""
    reason: str = field(repr=False)

    @property
    def size(self) -> int:
        return 2 * SEAL_SIZE + 6 * (len(self.subject) + len(self.stream) + len(self.reason))


@frozen(kw_only=True)
class PlainReleaseHold:
    tenant: TenantId
    hold: int
    reason: str = field(repr=False)

    @property
    def size(self) -> int:
        return SEAL_SIZE + 6 * len(self.reason)


@frozen(kw_only=True)
class PlainRetention:
    tenant: TenantId
    stream: str = field(repr=False)
    """A name, or PREFIX*."""
    data_class: DataClass
    days: int
    """0: no rule any more."""

    @property
    def size(self) -> int:
        return SEAL_SIZE + 6 * len(self.stream)


@frozen(kw_only=True)
class PlainPrune:
    tenant: TenantId
    segments: tuple[PrunedSegment, ...]
    judged: int
    """See `vdb.kernel.erasure_command.Prune`."""
    by: str

    @property
    def size(self) -> int:
        return PRUNED_SIZE * len(self.segments) + 4 * len(self.by) + SEAL_SIZE


ErasureRequest = PlainErase | PlainExpire | PlainAck | PlainHold | PlainReleaseHold | PlainRetention | PlainPrune
"""`size`: bytes in a prepare's body beyond those of any request."""
