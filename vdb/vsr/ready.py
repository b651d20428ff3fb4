"""What a replica wants done, as values, and the order that the shell must keep.

The shell takes a `Ready` after every input and promises:

1. `view_change` is written to the superblock and synced, and reported with `ViewDurable`, before the replica gets any
   other input but reports of the journal and of the checkpointer; messages of others wait.
2. `truncate` is done in the journal before anything of `persist`.
3. `persist` is handed to the journal in order; each op is reported with `PrepareDurable` once prepare and redundant
   header are synced, not before.
4. `messages` leave through the send gate, which asserts what must be durable for each of them. Messages to oneself
   take the same way. `supplies` are prepares to be read from the journal and sent; one that can't be read is reported
   with `PrepareDamaged`.
5. `commits` are applied to the kernel in order, each op once. A serving primary applies them without a suspension in
   between. Where a body must be read back from the WAL, the shell suspends between two ops; it tells nobody of a commit
   that it hasn't applied.
6. Replies to clients leave after their op was applied.
7. When `view_started` is set, the shell of the primary applies all commits and executes what is left in the pipeline
   before it proposes; that of another fails what clients wait for.
8. `sync` asks for a newer checkpoint than the log can reach. The shell fetches it and opens the group anew.
"""

from __future__ import annotations

from attrs import field, frozen

from vdb.vsr.header import Prepare, PrepareHeader
from vdb.vsr.message import CoreMessage


@frozen
class Envelope:
    """A message and the number of the node it goes to."""

    to: int
    message: CoreMessage


@frozen
class ViewChange:
    """What the superblock must hold before the replica may speak."""

    view: int
    log_view: int
    commit: int = 0
    tail: bytes = field(default=b"", repr=False)
    """The vote for this view, or the log with which it started, as `vdb.vsr.tail` packs them. The superblock keeps it
    as it is and gives it back in `Opened`."""


@frozen
class Supply:
    """Read this prepare from the journal and send it to `to`."""

    to: int
    op: int
    checksum: bytes = field(repr=False)


@frozen
class SyncTarget:
    """A checkpoint at or above this op is needed; `sources` are nodes that have one."""

    checkpoint_op: int
    sources: tuple[int, ...]


@frozen
class Ready:
    """See the module's docstring for the order. Empty fields mean nothing to do."""

    view_change: ViewChange | None = None
    persist: tuple[Prepare, ...] = ()
    messages: tuple[Envelope, ...] = ()
    commits: tuple[PrepareHeader, ...] = ()
    truncate: int | None = None
    """The log's new head: the journal forgets every op above it."""
    supplies: tuple[Supply, ...] = ()
    confirmed: tuple[int, ...] = ()
    """Numbers of `Confirm` that are answered."""
    view_started: bool = False
    sync: SyncTarget | None = None
    removed: bool = False
    """This node is no member any more: the shell stops serving the group."""


NOTHING = Ready()
