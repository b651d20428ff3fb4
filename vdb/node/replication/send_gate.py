"""The one gate through which every message of a replica leaves.

It asserts what must be durable for each message. Acks and votes that left before their write were the worst bugs
of this protocol's history, so the rule stands in one place, and holds for messages to oneself too.

    PrepareOk                    view and log_view are this view, prepare and header are synced
    DoViewChange                 the superblock holds this view, this log_view and exactly this vote
    StartView, CommitMessage     log_view is this view or a later one
    CommitOk                     log_view is this view: proofs of reads rest on it
    Ping, prepares               no view above the durable one
    StartViewChange and requests say what their sender wants, and promise nothing
"""

from __future__ import annotations

from collections.abc import Callable

from vdb.node.observer import Observer
from vdb.storage.superblock import Superblock
from vdb.storage.wal import Journal
from vdb.types import GroupId
from vdb.vsr.message import (
    CommitMessage,
    CommitOk,
    CoreMessage,
    DoViewChange,
    Ping,
    PrepareMessage,
    PrepareOk,
    StartView,
)
from vdb.vsr.ready import Envelope
from vdb.vsr.tail import encode_vote


class SendGate:
    """Checks, then hands over to `deliver(to, message)`."""

    def __init__(
        self,
        *,
        group: GroupId,
        superblock: Superblock,
        journal: Journal,
        deliver: Callable[[int, CoreMessage], None],
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

    def check_durable(self, message: CoreMessage) -> None:
        """Assert what this message promises."""
        durable = self._superblock.state
        match message:
            case PrepareOk():
                assert message.view == durable.view == durable.log_view, "an ack speaks of a view that isn't durable"
                assert self._journal.is_durable(message.op, message.checksum), f"op {message.op} is acked unsynced"
            case PrepareMessage():
                assert message.prepare.header.view <= durable.view, "a prepare of a view that isn't durable"
            case CommitMessage():
                assert message.view <= durable.log_view, "a commit of a view that isn't durable"
            case CommitOk():
                assert message.view == durable.log_view, "a heartbeat is answered in a view whose log isn't durable"
            case Ping():
                assert message.view <= durable.view, "a ping speaks of a view that isn't durable"
            case StartView():
                assert message.view <= durable.log_view, "a view is started that isn't durable"
            case DoViewChange():
                assert (message.view, message.log_view) == (durable.view, durable.log_view), "a vote that isn't durable"
                assert encode_vote(message) == durable.tail, "a vote that isn't the durable one"
