"""What goes into a replica: messages of other replicas (and of itself), and what its own shell reports.

A replica sends its `PrepareOk` to itself as to any other, through the same gate, so a group of one runs the code
that a group of six runs.
"""

from __future__ import annotations

from attrs import field, frozen

from vdb.vsr.header import Prepare, PrepareHeader

# Messages between replicas ------------------------------------------------------------------------------------


@frozen(kw_only=True)
class PrepareMessage:
    """From the primary: store this op (Viewstamped Replication Revisited, section 4.1, step 3)."""

    prepare: Prepare


@frozen(kw_only=True)
class PrepareOk:
    """To the primary of `view`: `replica` holds prepare and redundant header of this op durably."""

    view: int
    op: int
    checksum: bytes = field(repr=False)
    replica: int


@frozen(kw_only=True)
class CommitMessage:
    """From the primary: everything up to `commit` is committed."""

    view: int
    commit: int


Message = PrepareMessage | PrepareOk | CommitMessage

# Reports of the shell -----------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Opened:
    """Storage has recovered. `headers` are those of ops checkpoint_op + 1 to the head, in order, all durable."""

    view: int
    log_view: int
    checkpoint_op: int
    checkpoint_id: bytes = field(repr=False)
    checkpoint_checksum: bytes = field(repr=False)
    """Checksum of the header of op checkpoint_op: the parent of the first header above it."""
    checkpoint_timestamp: int
    """The last timestamp that the checkpoint's state has seen."""
    headers: tuple[PrepareHeader, ...]


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


@frozen(kw_only=True)
class PrepareDurable:
    """Prepare and redundant header of this op are synced."""

    header: PrepareHeader


@frozen(kw_only=True)
class CheckpointDurable:
    """The superblock names this checkpoint: slots of ops up to it may be written again."""

    op: int
    checkpoint_id: bytes = field(repr=False)


Report = Opened | ViewDurable | Propose | PrepareDurable | CheckpointDurable
Input = Message | Report
