"""Requests as they come through the gate, before the primary seals them: names and payloads in clear.

They live in memory only, between the gate and the preparer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field, frozen

from vdb.audit.entry import AuditEntry
from vdb.errors import NotPrimary, PrimaryLost, RefusalCode
from vdb.kernel.command import ANY, INTERNAL, Expected, KeyScope, MemberRow, Origin
from vdb.kernel.reply import Reply
from vdb.node.consumers.consumer_request import ConsumerRequest
from vdb.node.erasure.erasure_request import ErasureRequest
from vdb.node.governance.governance_request import GovernanceRequest
from vdb.node.keys.key_request import KeyRequest
from vdb.types import SYSTEM_TENANT, DataClass, TenantId
from vdb.values import fast_frozen
from vdb.wire.event import encode_batch


@fast_frozen(kw_only=True)
class PlainRun:
    """Consecutive events of one stream that concern one subject."""

    subject: str = field(default="", repr=False)
    """Whose data this is; empty: the stream's own key is used."""
    count: int
    batch: bytes = field(repr=False)
    """An encoded EventBatch (event.capnp) of `count` payloads."""
    event_ids: bytes = field(default=b"", repr=False)
    """16 bytes an event, or empty."""
    schema_id: int = 0


@fast_frozen(kw_only=True)
class PlainAppend:
    """What to append to one stream, and on which condition."""

    stream: str = field(repr=False)
    expected: Expected = ANY
    runs: tuple[PlainRun, ...] = ()

    @property
    def count(self) -> int:
        runs = self.runs
        return runs[0].count if len(runs) == 1 else sum([run.count for run in runs])


@frozen(kw_only=True)
class PlainCreate:
    tenant: TenantId
    name: str = field(repr=False)
    data_class: DataClass
    region: str
    if_not_exists: bool = False


@fast_frozen(kw_only=True)
class PlainBatch:
    """An atomic append to one or more streams of one group."""

    tenant: TenantId
    appends: tuple[PlainAppend, ...]


@frozen(kw_only=True)
class CutRun:
    """Payloads of a run that was cut. They are encoded when their part is sealed, not all at once."""

    subject: str = field(repr=False)
    payloads: Sequence[bytes] = field(repr=False)
    event_ids: bytes = field(repr=False)
    schema_id: int

    @property
    def count(self) -> int:
        return len(self.payloads)

    def plain(self) -> PlainRun:
        return PlainRun(
            subject=self.subject,
            count=self.count,
            batch=encode_batch(self.payloads),
            event_ids=self.event_ids,
            schema_id=self.schema_id,
        )


@frozen(kw_only=True)
class Piece:
    """What one part holds of one stream's append. No runs: only the condition."""

    append: int
    """Its place in the transaction's `targets`."""
    runs: tuple[PlainRun | CutRun, ...]


@frozen(kw_only=True)
class PlainTarget:
    """One stream's append as a whole: what it is judged by."""

    stream: str = field(repr=False)
    expected: Expected
    count: int
    event_ids: bytes = field(default=b"", repr=False)
    """Of all its events that have one, 16 bytes each."""


@frozen(kw_only=True)
class PlainTransaction:
    """A `PlainBatch` that is too large for one prepare, cut into parts (`vdb.node.preparing.cutting`)."""

    tenant: TenantId
    targets: tuple[PlainTarget, ...]
    parts: tuple[tuple[Piece, ...], ...]
    size: int
    """At most so many bytes will all parts together take in prepares."""


@frozen(kw_only=True)
class PlainVoid:
    """Forget a transaction of an earlier view."""

    transaction: int


@frozen(kw_only=True)
class PlainSession:
    """Open a session for the origin's client."""

    owner: bytes = b""
    """SHA-256 of the name of the principal whose it is; empty: of whoever knows its number."""


@frozen(kw_only=True)
class PlainKey:
    """See to it that this key exists."""

    tenant: TenantId
    scope: KeyScope
    name: str = field(repr=False)
    data_class: DataClass


@frozen(kw_only=True)
class PlainAudit:
    """Entries of a tenant's audit log about what is no request of this prepare: a read, a denial, an act."""

    tenant: TenantId
    entries: tuple[bytes, ...] = field(repr=False)
    """Encoded, without their time."""


@frozen(kw_only=True)
class PlainReject:
    """A numbered request that the gate refused."""

    code: RefusalCode
    message: str
    tenant: TenantId = SYSTEM_TENANT
    """Whose audit log tells of it, if it is to be told."""


@frozen(kw_only=True)
class PlainReconfigure:
    """Other members of the group. It fills an op of its own, whose number is the new configuration's epoch."""

    base_epoch: int
    """The epoch of the configuration that this one was made from; another one by now is a refusal."""
    voters: tuple[int, ...]
    learners: tuple[int, ...]
    members: tuple[MemberRow, ...]
    """Of all voters and learners."""


PlainRequest = (
    PlainCreate
    | PlainBatch
    | PlainTransaction
    | PlainVoid
    | PlainSession
    | PlainKey
    | PlainReject
    | PlainAudit
    | PlainReconfigure
    | ConsumerRequest
    | GovernanceRequest
    | KeyRequest
    | ErasureRequest
)
OnReply = Callable[[Reply], None]
OnLost = Callable[[NotPrimary | PrimaryLost], None]


def nobody(_answer: object) -> None:
    """For a request whose answer nobody waits for."""


@define(eq=False)
class Pending:
    """A request that waits for its place in a prepare, and who hears of it: one of the two is called, once.

    `on_reply`: its op has committed. `on_lost`: this node ceased to be primary before. `size`: at most so many bytes.
    """

    request: PlainRequest
    on_reply: OnReply
    on_lost: OnLost
    size: int
    origin: Origin = INTERNAL
    note: AuditEntry | None = None
    """What is told of the request in the audit log; what came of it is put in when it is prepared. None: nothing, or of
    a write what the node itself knows."""
    note_size: int = 0
    """At most so many bytes will the entry take; `size` has them."""
    entry: int = 0
    """Of a `PlainAudit`, once it is prepared: its first entry's place among those of the record."""


@define(eq=False)
class Notes:
    """What the audit log of one tenant is to be told by one prepare."""

    entries: list[bytes] = field(factory=list)
    """Encoded, with their times."""
    writes: int = 0
    """Requests among them that must have an entry."""
    waiters: list[Pending] = field(factory=list)
    """Those who wait for their entries to be in the log."""
