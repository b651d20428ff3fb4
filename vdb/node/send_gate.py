"""The one gate through which every message of a replica leaves.

It asserts what must be durable for each message. Acks and votes that left before their write were the worst bugs
of this protocol's history, so the rule stands in one place, and holds for messages to oneself too.
"""

from __future__ import annotations

from collections.abc import Callable

from vdb.node.observer import Observer
from vdb.storage.superblock import Superblock
from vdb.storage.wal import Journal
from vdb.types import GroupId
from vdb.vsr.message import CommitMessage, Message, PrepareMessage, PrepareOk
from vdb.vsr.ready import Envelope


class SendGate:
    """Checks, then hands over to `deliver(to, message)`."""

    def __init__(
        self,
        *,
        group: GroupId,
        superblock: Superblock,
        journal: Journal,
        deliver: Callable[[int, Message], None],
        observer: Observer,
    ) -> None:
        self._group = group
        self._superblock = superblock
        self._journal = journal
        self._deliver = deliver
        self._observer = observer

    def send(self, envelope: Envelope) -> None:
        self.check_durable(envelope.message)
        self._observer.on_send(self._group, envelope.to, envelope.message)
        self._deliver(envelope.to, envelope.message)

    def check_durable(self, message: Message) -> None:
        """Assert what this message promises: acks are of synced ops, and no view is spoken of that isn't durable."""
        durable = self._superblock.state
        match message:
            case PrepareOk():
                assert message.view <= durable.log_view, "an ack speaks of a view that isn't durable"
                assert self._journal.is_durable(message.op, message.checksum), f"op {message.op} is acked unsynced"
            case PrepareMessage():
                assert message.prepare.header.view <= durable.log_view, "a prepare of a view that isn't durable"
            case CommitMessage():
                assert message.view <= durable.log_view, "a commit of a view that isn't durable"
