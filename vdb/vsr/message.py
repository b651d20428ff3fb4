"""What goes into a replica: messages of other replicas (and of itself), and what its own shell reports.

A replica sends its `PrepareOk` to itself as to any other, through the same gate, so a group of one runs the code
that a group of six runs. `replica` is always the sender, by node number; the shell drops a message whose sender isn't
the node at the other end of the connection.

Sources: Viewstamped Replication Revisited, section 4; for present and nack bits Protocol-Aware Recovery, section 3.
"""

from __future__ import annotations

from attrs import field, frozen

from vdb.vsr.configuration import Configuration
from vdb.vsr.header import ALONE, Prepare, PrepareHeader

# Messages between replicas ------------------------------------------------------------------------------------


@frozen(kw_only=True)
class PrepareMessage:
    """From the primary: store this op (section 4.1, step 3). Also the answer to `RequestPrepare`, from anybody."""

    prepare: Prepare
    replica: int = 0


@frozen(kw_only=True)
class PrepareOk:
    """To the primary of `view`: `replica` holds prepare and redundant header of this op durably."""

    view: int
    op: int
    checksum: bytes = field(repr=False)
    replica: int


@frozen(kw_only=True)
class CommitMessage:
    """From the primary, at least once a heartbeat: everything up to `commit` is committed."""

    view: int
    commit: int
    checksum: bytes = field(default=bytes(32), repr=False)
    """Of the header of op `commit`: what a backup must hold there before it commits."""
    head: int = 0
    """The primary's op, so that an idle backup sees what it lacks."""
    checkpoint_op: int = 0
    """The primary's durable checkpoint."""
    round: int = 0
    """Counts the heartbeats of this view: an answer to one proves that its sender was in the view after it."""
    replica: int = 0


@frozen(kw_only=True)
class CommitOk:
    """To the primary of `view`: heard this heartbeat, in this view, in normal operation."""

    view: int
    round: int
    commit: int
    checkpoint_op: int
    replica: int


@frozen(kw_only=True)
class Ping:
    """To every member, now and then, in any status: what is durable here. It spreads views and checkpoints."""

    view: int
    commit: int
    checkpoint_op: int
    replica: int


@frozen(kw_only=True)
class StartViewChange:
    """To all voters: "I want to be in `view`". A pre-vote; nothing is promised yet."""

    view: int
    replica: int
    configuration: Configuration = ALONE
    """The latest in the sender's log: it may make a voter of one who hasn't heard of it."""


@frozen(kw_only=True)
class TailEntry:
    """One op of a log's tail. `header` None: not known here. See `vdb.vsr.choice` for what the bits prove."""

    op: int
    header: PrepareHeader | None
    present: bool = False
    """The sender holds the prepare durably."""
    nack: bool = False
    """The sender knows that it never acked this op."""


@frozen(kw_only=True)
class DoViewChange:
    """A vote, to the primary of `view` as the sender's log has it: the same bytes however often it is sent."""

    view: int
    log_view: int
    commit: int
    """The highest op that the sender knows to be committed, by itself or by anybody."""
    checkpoint_op: int
    to: int
    tail: tuple[TailEntry, ...]
    """From the first op at or below `commit` that is known, up to the head, without a gap in the numbers."""
    unsure: bool = False
    """The sender may have acked more than `tail` tells. It leaves the older views, and says nothing of the log."""
    replica: int


@frozen(kw_only=True)
class StartView:
    """From the primary of a view that has started: the log's tail, of which every backup now makes its own."""

    view: int
    commit: int
    checkpoint_op: int
    checkpoint_id: bytes = field(repr=False)
    tail: tuple[PrepareHeader, ...]
    """In order and chained, from an op at or below `commit` up to the head; empty if nothing was ever proposed."""
    nonce: int = 0
    """Of the `RequestStartView` that this answers; 0: it answers none."""
    replica: int


@frozen(kw_only=True)
class RequestStartView:
    """From one that doesn't know the log of `view`, or isn't sure of its own head."""

    view: int
    nonce: int
    """Not 0; drawn at each start, so that an answer to an earlier life isn't believed."""
    replica: int


@frozen(kw_only=True)
class RequestHeaders:
    """For headers of ops from first to last, both included."""

    first: int
    last: int
    replica: int


@frozen(kw_only=True)
class Headers:
    """Some of the headers asked for, in order. Believed only where they chain to the receiver's head."""

    headers: tuple[PrepareHeader, ...]
    replica: int


@frozen(kw_only=True)
class RequestPrepare:
    """For the prepare of an op with this checksum."""

    op: int
    checksum: bytes = field(repr=False)
    replica: int


@frozen(kw_only=True)
class NotMember:
    """To one that isn't, or is no longer, a member: the configuration made at op `epoch` doesn't name it."""

    epoch: int
    replica: int


CoreMessage = (
    PrepareMessage
    | PrepareOk
    | CommitMessage
    | CommitOk
    | Ping
    | StartViewChange
    | DoViewChange
    | StartView
    | RequestStartView
    | RequestHeaders
    | Headers
    | RequestPrepare
    | NotMember
)
"""What the replica's table knows."""

# Messages of state sync and of repair at rest: the shell's alone -----------------------------------------------


@frozen(kw_only=True)
class FileEntry:
    """A file of a checkpoint: path within the group's directory, bytes that count, SHA-256 over them."""

    path: str
    size: int
    checksum: bytes = field(repr=False)


@frozen(kw_only=True)
class RequestManifest:
    """For the files that make up a durable checkpoint at or above `checkpoint_op`."""

    checkpoint_op: int
    replica: int


@frozen(kw_only=True)
class Manifest:
    """The files of this checkpoint. Its rows name the segments that a replica needs besides, with their checksums."""

    checkpoint_op: int
    checkpoint_id: bytes = field(repr=False)
    files: tuple[FileEntry, ...]
    configuration: Configuration
    """The one that holds at the checkpoint."""
    view: int
    """The sender's, durable: its log, and so the checkpoint, may hold what was committed in this view."""
    replica: int


@frozen(kw_only=True)
class RequestChunk:
    """For `size` bytes of a file of the manifest of `checkpoint_op`, or of a segment."""

    checkpoint_op: int
    path: str
    offset: int
    size: int
    replica: int


@frozen(kw_only=True)
class Chunk:
    """The bytes asked for, with their SHA-256; fewer, or none, when the sender no longer has them all."""

    checkpoint_op: int
    path: str
    offset: int
    data: bytes = field(repr=False)
    checksum: bytes = field(repr=False)
    replica: int


SyncMessage = RequestManifest | Manifest | RequestChunk | Chunk


@frozen(kw_only=True)
class ErasedMessage:
    """To the primary: the sender's disk is rid of the keys that an erasure destroyed. Sent until the log says so."""

    tenant: int
    erasure: int
    statement: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    replica: int


@frozen(kw_only=True)
class PolicyMessage:
    """To the primary of a region's group, which may hold no member of the global one: the policy that holds there."""

    serial: int
    version: str
    by: str
    text: str = field(repr=False)
    replica: int


@frozen(kw_only=True)
class RecordMessage:
    """To the primary: entries of a tenant's audit log, without which the sender doesn't answer."""

    number: int
    """By which the sender knows the answer."""
    tenant: int
    entries: tuple[bytes, ...] = field(repr=False)
    replica: int


@frozen(kw_only=True)
class RecordedMessage:
    """The answer: where they stand, once they are committed; or that they don't."""

    number: int
    done: bool
    tenant: int
    index: int
    first_entry: int
    position: int
    replica: int


@frozen(kw_only=True)
class RootKeysMessage:
    """From the primary: which root keys have you? And the answer."""

    number: int
    """By which the primary knows the answer."""
    asks: bool
    given: tuple[bytes, ...]
    """Ids of the sender's root keys, 16 bytes each; of who asks: none."""
    replica: int


WordMessage = ErasedMessage | PolicyMessage | RecordMessage | RecordedMessage | RootKeysMessage
"""What members tell a primary beside the protocol."""
Message = CoreMessage | SyncMessage | WordMessage

# Reports of the shell -----------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Opened:
    """Storage has recovered."""

    view: int
    log_view: int
    checkpoint_op: int
    checkpoint_id: bytes = field(repr=False)
    checkpoint_checksum: bytes = field(repr=False)
    """Checksum of the header of op checkpoint_op: the parent of the first header above it."""
    checkpoint_timestamp: int
    """The last timestamp that the checkpoint's state has seen."""
    headers: tuple[PrepareHeader, ...]
    """Headers of the whole prepares above checkpoint_op that the WAL holds, in order, gaps allowed, all durable."""
    commit: int = 0
    """The superblock's."""
    configuration: Configuration = ALONE
    """The one that holds at the checkpoint; of a node that joins: its own guess, with itself as a learner."""
    faulty: tuple[int, ...] = ()
    """Ops above checkpoint_op that may have been acked and aren't whole."""
    head_certain: bool = True
    """No faulty slot hides the head, and this isn't a node that joins."""
    tail: bytes = field(default=b"", repr=False)
    """What the superblock keeps of the last `ViewChange`."""
    nonce: int = 1
    """Drawn for this start; not 0."""
    looks: bool = False
    """The replica is opened to be looked at: nobody is heard, nothing is said, and it never serves."""


@frozen(kw_only=True)
class ViewDurable:
    """The superblock holds this view and log_view on a quorum of its copies."""

    view: int
    log_view: int


@frozen(kw_only=True)
class Propose:
    """The primary's shell has sealed a batch of requests and wants it replicated."""

    body: bytes = field(repr=False)
    timestamp: int
    request_count: int
    configuration: Configuration | None = None
    """The new one, for a reconfiguration: its epoch is the op that it gets (`Replica.next_configuration`)."""


@frozen(kw_only=True)
class PrepareDurable:
    """Prepare and redundant header of this op are synced."""

    header: PrepareHeader


@frozen(kw_only=True)
class PrepareDamaged:
    """The journal can't read the prepare of this op any more: it must be fetched again."""

    op: int
    checksum: bytes = field(repr=False)


@frozen(kw_only=True)
class CheckpointDurable:
    """The superblock names this checkpoint: slots of ops up to it may be written again."""

    op: int
    checkpoint_id: bytes = field(repr=False)


@frozen(kw_only=True)
class Tick:
    """So much time has passed (`vdb.vsr.timing`)."""


@frozen(kw_only=True)
class Confirm:
    """The shell wants to know that no newer view has begun: `Ready.confirmed` will hold this number, or never."""

    number: int


@frozen(kw_only=True)
class Abdicate:
    """The primary shall give up its view: the node stops, is to be removed, or its clock isn't trusted."""


@frozen(kw_only=True)
class PeerLost:
    """The connection to this node has ended, and nobody answers at its address any more."""

    node: int


Report = (
    Opened
    | ViewDurable
    | Propose
    | PrepareDurable
    | PrepareDamaged
    | CheckpointDurable
    | Tick
    | Confirm
    | Abdicate
    | PeerLost
)
Input = CoreMessage | Report
