"""What a node tells an onlooker about itself, for checkers outside the replica. The default listens to nothing."""

from __future__ import annotations

from collections.abc import Sequence

from vdb.kernel.command import Request
from vdb.kernel.reply import Reply
from vdb.kernel.state import State
from vdb.storage.superblock import SuperblockState
from vdb.types import GroupId
from vdb.vsr.header import Prepare, PrepareHeader
from vdb.vsr.message import Message


class Observer:
    """Each method is called synchronously, right before (on_send) or right after what it reports."""

    def on_prepare(self, group: GroupId, prepare: Prepare) -> None:
        """The journal gets this prepare, the primary's own or another's; nothing of it is written yet."""

    def on_durable(self, group: GroupId, header: PrepareHeader) -> None:
        """The journal says that prepare and redundant header of this op are synced."""

    def on_send(self, group: GroupId, to: int, message: Message) -> None:
        """The message passed the send gate and leaves now."""

    def on_receive(self, group: GroupId, message: Message) -> None:
        """The message of another node goes into the replica now."""

    def on_read_asks(self, group: GroupId, read: int) -> None:
        """A read asks whether this replica still leads, and for all that was acknowledged before. `read` is its number
        since the group was opened."""

    def on_read_confirmed(self, group: GroupId, read: int) -> None:
        """The read of this number goes on, by a quorum's proof and with what is applied now."""

    def on_view(self, group: GroupId, view: int, log_view: int, status: str) -> None:
        """The replica's view, log_view or status is another than before."""

    def on_truncate(self, group: GroupId, op: int) -> None:
        """The journal forgets every op above this one now."""

    def on_commit(
        self, group: GroupId, header: PrepareHeader, requests: Sequence[Request], replies: Sequence[Reply]
    ) -> None:
        """The op was applied to the kernel; its replies leave after this call."""

    def on_checkpoint(self, group: GroupId, op: int, checkpoint_id: bytes) -> None:
        """The superblock names this checkpoint durably."""

    def on_superblock(self, group: GroupId, state: SuperblockState) -> None:
        """The superblock was opened with, or changed to, this state."""

    def on_recovered(self, group: GroupId, commit_number: int, state: State) -> None:
        """The group was opened, and this is the state after op `commit_number`.

        That is all that the WAL held, in a group of one; in others the checkpoint, until peers say what has committed.
        """


SILENT = Observer()
