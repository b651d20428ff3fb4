"""What a replica wants done, as values, and the order that the shell must keep.

The shell takes a `Ready` after every input and promises:

1. `view_change` is written to the superblock and synced before any message of this or a later Ready leaves, and
   then reported with `ViewDurable`.
2. `persist` is handed to the journal in order; each op is reported with `PrepareDurable` once prepare and redundant
   header are synced, not before.
3. `messages` leave through the send gate, which asserts what must be durable for each of them. Messages to oneself
   take the same way.
4. `commits` are applied to the kernel in order, each op once, and all of them before the replica's next input. A
   serving group applies them without a suspension in between. At recovery their bodies are first read back from the
   WAL, one by one, with suspensions; nobody is served yet, and no input comes meanwhile.
5. Replies to clients leave after their op was applied.
"""

from __future__ import annotations

from attrs import frozen

from vdb.vsr.header import Prepare, PrepareHeader
from vdb.vsr.message import Message


@frozen
class Envelope:
    """A message and the number of the replica it goes to."""

    to: int
    message: Message


@frozen
class ViewChange:
    """What the superblock must hold before the replica may speak."""

    view: int
    log_view: int


@frozen
class Ready:
    """See the module's docstring for the order. Empty fields mean nothing to do."""

    view_change: ViewChange | None = None
    persist: tuple[Prepare, ...] = ()
    messages: tuple[Envelope, ...] = ()
    commits: tuple[PrepareHeader, ...] = ()


NOTHING = Ready()
