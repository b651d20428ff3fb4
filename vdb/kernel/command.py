"""Commands: what the log holds and the kernel applies. All names and payloads in them are sealed already.

The primary makes a command from a client's request: it predicts stream ids, offsets and refusals from the
prepared state, seals the runs, and proposes the result. Apply asserts that the prediction holds.
"""

from __future__ import annotations

from enum import IntEnum

from attrs import field, frozen

from vdb.errors import RefusalCode
from vdb.kernel.audit_command import AuditAppend
from vdb.kernel.consumer_command import ConsumerCommand
from vdb.kernel.erasure_command import ErasureCommand
from vdb.kernel.governance_command import GovernanceCommand
from vdb.types import DataClass, StreamId, TenantId
from vdb.values import fast_frozen

CLIENT_ID_SIZE = 16
DISK_ID_SIZE = 16
OWNER_SIZE = 32
NO_CLIENT = bytes(CLIENT_ID_SIZE)
"""No client is called so: what comes from it comes outside of a session."""


class ExpectedKind(IntEnum):
    ANY = 0
    NONE = 1
    """The stream must be empty."""
    EXACT = 2
    """The stream's next offset must be `offset`."""
    EXISTS = 3
    """The stream must have an event at least."""


_ANY, _EXISTS = ExpectedKind.ANY, ExpectedKind.EXISTS
"""As plain names: a member is looked up in 130 ns, and each append asks twice."""


@fast_frozen
class Expected:
    """A condition on a stream's next offset."""

    kind: ExpectedKind = ExpectedKind.ANY
    offset: int = 0

    def holds(self, next_offset: int) -> bool:
        if self.kind is _ANY:
            return True
        if self.kind is _EXISTS:
            return next_offset > 0
        return next_offset == (self.offset if self.kind is ExpectedKind.EXACT else 0)

    def __str__(self) -> str:
        if self.kind is _EXISTS:
            return "at least one event"
        return f"exactly {self.offset}" if self.kind is ExpectedKind.EXACT else self.kind.name.lower()


ANY = Expected()
EMPTY = Expected(ExpectedKind.NONE)
EXISTS = Expected(ExpectedKind.EXISTS)


class KeyScope(IntEnum):
    """What a key of the key store protects."""

    TENANT = 0
    """The tenant key of this group's region; wraps all others of the tenant. Wrapped itself by the root key."""
    CATALOGUE = 1
    """Names of streams."""
    STREAM = 2
    SUBJECT = 3
    PROJECTION = 4
    """A projection's SQLCipher file."""
    AUDIT = 5
    """Entries of the audit log of one month, named `YYYY-MM`."""


DESTROYED_KEY = b"this key was destroyed".ljust(40, b".")
"""Stands in a row for a wrapped key that was destroyed."""


@frozen(kw_only=True)
class KeyRow:
    """A wrapped key. `lookup` is the HMAC by which the scope's name is found; names never stand in clear."""

    dek_id: bytes
    tenant: TenantId
    scope: KeyScope
    data_class: DataClass
    lookup: bytes = field(repr=False)
    """32 bytes; zeros for TENANT and CATALOGUE."""
    subject_token: bytes = field(repr=False)
    """32 bytes; zeros unless scope is SUBJECT."""
    kek_id: bytes
    """dek_id of the tenant key that wraps this one; the root key's id for a tenant key."""
    kek_version: int
    wrapped: bytes = field(repr=False)
    """The key under AES-256 key wrap (RFC 3394): 40 bytes."""
    wrapped_secret: bytes = field(repr=False)
    """The secret of the subject token under the same wrap: 40 bytes for SUBJECT, empty otherwise."""
    period: int = 0
    """Of the tenant's periods (`StartPeriod`), the one that this key was made in; 0 for scopes without periods."""

    @property
    def is_destroyed(self) -> bool:
        """Whether the row says no more than that there was a key."""
        return self.wrapped == DESTROYED_KEY


@frozen(kw_only=True)
class CreateStream:
    tenant: TenantId
    stream: StreamId
    """The id that the primary predicts; the kernel asserts it when it accepts."""
    data_class: DataClass
    region: str
    """A region's name, or 'global'. It must be the group's own."""
    lookup: bytes = field(repr=False)
    """HMAC of the name under the tenant's lookup key: 32 bytes."""
    record: bytes = field(repr=False)
    """The sealed name, a record of the tenant's catalogue stream (id 0). Empty when a refusal is predicted."""
    if_not_exists: bool = False
    """An existing stream of the same class is then an answer, not a refusal."""


@fast_frozen(kw_only=True)
class Run:
    """Consecutive events of one stream under one key: one sealed record."""

    count: int
    record: bytes = field(repr=False)
    """`vdb.crypto.record.encode_record`; empty when a refusal is predicted."""


@fast_frozen(kw_only=True)
class StreamAppend:
    stream: StreamId
    expected: Expected
    runs: tuple[Run, ...]
    """May be empty: then only the condition counts."""

    @property
    def count(self) -> int:
        runs = self.runs
        return runs[0].count if len(runs) == 1 else sum([run.count for run in runs])


@fast_frozen(kw_only=True)
class AppendBatch:
    """All streams or none; all conditions are checked before the first event is appended. No stream twice."""

    tenant: TenantId
    appends: tuple[StreamAppend, ...]


@frozen(kw_only=True)
class KnownPiece:
    """Consecutive events that a stream has already."""

    stream: StreamId
    event_id: bytes
    """Of the first one: 16 bytes; of a stream without events in the append: empty."""
    count: int


@frozen(kw_only=True)
class KnownAppend:
    """Stands for an append some of whose event ids its streams remember (`vdb.kernel.event_ids`)."""

    tenant: TenantId
    pieces: tuple[KnownPiece, ...]
    """In the order of the append; if it isn't whole, the one id that is taken."""
    whole: bool
    """Whether it is an earlier append come again, and gets its answer; otherwise it is refused."""


@frozen(kw_only=True)
class AppendPart:
    """A piece of an append that doesn't fit one prepare: kept aside, invisible, until the last part closes it.

    A stream whose runs are cut stands in several parts, each time with its condition.
    """

    transaction: int
    """Timestamp of the first part: unique in the group, and the time of all records of the transaction."""
    number: int
    """From 0."""
    tenant: TenantId
    appends: tuple[StreamAppend, ...]
    last: bool = False
    """Whether this part closes the transaction: then all parts are appended as one `AppendBatch`."""


@frozen(kw_only=True)
class VoidTransaction:
    """Forget the parts of a transaction that will never be closed. Harmless when there is none."""

    transaction: int


@frozen(kw_only=True)
class OpenSession:
    """Opens a session for the origin's client. The new session's number is in the reply."""

    owner: bytes = b""
    """SHA-256 of the name of the principal whose it is; empty: of whoever knows its number."""


@frozen(kw_only=True)
class PutKey:
    row: KeyRow


@frozen(kw_only=True)
class RewrapKeys:
    """A rotation of root keys begins; or a step of it: tenants' keys wrapped by that root key, the same keys."""

    root_key_id: bytes
    """16 bytes: what wraps all tenants' keys from here on."""
    begins: bool = False
    """Then it has no rows."""
    rotation_id: bytes = b""
    """16 bytes of whoever begins it. A second attempt under the id that the last one has begins nothing; empty: it
    does."""
    rows: tuple[KeyRow, ...] = ()
    """As they are from now on: under the root key of the rotation that has begun."""


@frozen(kw_only=True)
class StartPeriod:
    """What is sealed for the tenant from now on is sealed under keys of this period."""

    tenant: TenantId
    period: int
    """One above the one before, as the primary predicts. The first one, before any was started, is 0."""
    rotation_id: bytes = b""
    """16 bytes of whoever asks for it: asked for twice, the period starts once. Empty: it starts."""


@frozen(kw_only=True)
class Reject:
    """A numbered request that the node's gate refused: it uses up its number, so that the next one can follow.

    The message is stored in clear, so it holds no name and nothing of the payload.
    """

    code: RefusalCode
    message: str


@frozen(kw_only=True)
class MemberRow:
    """How to reach a node of the cluster, and the disk that it is known by."""

    node: int
    """0 to 254, the node's own for ever."""
    name: str
    peer_address: str
    """host:port for the other nodes."""
    address: str
    """host:port for clients."""
    disk_id: bytes
    """16 bytes, drawn when its data directory was made."""
    region: str = ""
    """Where it runs; empty in logs from before there were several regions."""


@frozen(kw_only=True)
class Reconfigure:
    """Other members: the configuration of the group from this op on. The prepare's header names the same one."""

    epoch: int
    """The op that holds this command: the primary predicts it, and its shell asserts it."""
    base_epoch: int
    """The epoch of the configuration that this one was made from."""
    voters: tuple[int, ...]
    learners: tuple[int, ...]
    members: tuple[MemberRow, ...] = ()
    """Rows that are new or differ from those held; none of a node that isn't a voter or learner."""


Command = (
    CreateStream
    | AppendBatch
    | AuditAppend
    | KnownAppend
    | ConsumerCommand
    | GovernanceCommand
    | ErasureCommand
    | AppendPart
    | VoidTransaction
    | OpenSession
    | PutKey
    | RewrapKeys
    | StartPeriod
    | Reject
    | Reconfigure
)


@fast_frozen
class Origin:
    """Who sent a request: client id (16 bytes), session (0: none) and request number (from 1 in a session)."""

    client: bytes = NO_CLIENT
    session: int = 0
    number: int = 0


INTERNAL = Origin()
"""Requests that the node itself puts into a prepare, such as PutKey."""


@fast_frozen
class Request:
    """What stands in a prepare's body: a command and where it came from."""

    origin: Origin
    command: Command
