"""Replies: the values that apply returns. They are stored for sessions, so they hold positions, never rows."""

from __future__ import annotations

from attrs import frozen

from vdb.errors import RefusalCode
from vdb.types import StreamId, TenantId
from vdb.values import fast_frozen


@frozen
class StreamCreated:
    stream: StreamId
    created: bool
    """False when it was there already and the request allowed that."""


@fast_frozen
class AppendedStream:
    stream: StreamId
    first_offset: int
    next_offset: int


@fast_frozen
class Appended:
    streams: tuple[AppendedStream, ...]
    first_position: int
    """Number, in the group's log, of the first event appended."""
    next_position: int
    timestamp: int
    """Microseconds UTC."""


@frozen
class SessionOpened:
    session: int


@frozen
class KeyPut:
    dek_id: bytes


@frozen
class KeysRewrapped:
    """So many tenants' keys are under another root key than before."""

    count: int


@frozen
class PeriodStarted:
    period: int


@fast_frozen
class AuditAppended:
    """Entries are in the audit log of a tenant (0: the system's own)."""

    tenant: TenantId
    index: int
    """Of the record among the leaves of the log's tree."""
    first_entry: int
    """Number of the record's first entry in the log."""
    position: int
    """What the group's next event gets: the log as it was then."""


@frozen
class PartKept:
    """A part of a transaction that isn't closed yet. It is told to nobody and uses up no request number."""

    transaction: int
    number: int


@frozen
class Voided:
    """The transaction isn't there (any more)."""

    transaction: int


@frozen
class Reconfigured:
    """The group has other members: its configuration is the one made at op `epoch`."""

    epoch: int


Delivery = tuple[int, int]
"""Position and attempt, from 1."""


@frozen
class ConsumerCreated:
    created: bool
    """False when it was there already, with the same settings."""


@fast_frozen
class ConsumerFetched:
    deadline: int
    """Of all deliveries. Microseconds UTC."""
    deliveries: tuple[Delivery, ...]


@fast_frozen
class ConsumerSettled:
    late: tuple[int, ...]
    """Positions that weren't the member's in this attempt (any more), as they were asked for."""


@frozen
class ConsumerLeft:
    returned: int
    """Deliveries that the member gave back."""


@frozen
class ConsumerDeleted:
    deleted: bool


@frozen
class LettersSettled:
    count: int


@frozen
class PolicyPut:
    """The group has this policy."""

    serial: int
    version: str


@frozen
class GrantOpened:
    grant: int
    until: int
    """Microseconds UTC."""


@frozen
class GrantReviewed:
    grant: int
    until: int
    """Microseconds UTC: when it ended."""


@frozen
class ConsentPut:
    changed: bool
    """False for a withdrawal of what nobody consented to."""


@frozen
class Attested:
    stream: StreamId


@frozen
class Numbered:
    """An erasure, a hold or a retention is in the log: its number, 0 where it has none."""

    number: int


@frozen
class Refusal:
    """A business refusal: a value, the same on every replica. The message names what was expected and found."""

    code: RefusalCode
    message: str


ConsumerReply = ConsumerCreated | ConsumerFetched | ConsumerSettled | ConsumerLeft | ConsumerDeleted | LettersSettled
KeyReply = KeyPut | KeysRewrapped | PeriodStarted
GovernanceReply = PolicyPut | GrantOpened | GrantReviewed | ConsentPut | Attested
Reply = (
    StreamCreated
    | Appended
    | AuditAppended
    | PartKept
    | Voided
    | SessionOpened
    | KeyReply
    | Reconfigured
    | ConsumerReply
    | GovernanceReply
    | Numbered
    | Refusal
)
