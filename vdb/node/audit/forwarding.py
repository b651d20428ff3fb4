"""Receipts of a backup: the group's primary records them for it.

Rules
- A backup answers what is PHI once the primary says that the entries are committed: in the primary's own view, as for
  answers of its own. That what is answered was the newest, a receipt of a backup doesn't say.
- No answer within FORWARD_SECONDS, and an answer that they aren't recorded, are NotReady: whoever asked tries again.
  Entries may be recorded all the same, of an answer that was never given.
- The primary takes entries of members of its group alone, and only what are entries that fit.
"""

from __future__ import annotations

from functools import partial

import trio
from attrs import define, field

from vdb.audit.entry import decode_entry
from vdb.errors import DamagedData, DefiniteError, NotReady
from vdb.kernel.command import INTERNAL
from vdb.kernel.reply import AuditAppended, Reply
from vdb.marks import mark
from vdb.node.preparing.request import Pending, PlainAudit
from vdb.node.replication.group import Group
from vdb.types import TenantId
from vdb.vsr.message import RecordedMessage, RecordMessage

FORWARD_SECONDS = 5.0


@define(eq=False)
class _Waiting:
    done: trio.Event = field(factory=trio.Event)
    answer: RecordedMessage | None = None


class Forwarding:
    """Of one group: asks where this node is a backup, answers where it is the primary."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._waiting: dict[int, _Waiting] = {}
        self._number = 0
        group.on_record = self._on_message

    async def ask(self, request: PlainAudit) -> tuple[AuditAppended, int]:
        """What `Recorder` would be told by its own log. NotReady."""
        group = self._group
        self._number += 1
        number, waiting = self._number, _Waiting()
        self._waiting[number] = waiting
        message = RecordMessage(
            number=number, tenant=request.tenant, entries=request.entries, replica=group.replica.replica
        )
        mark("audit.forwarded")
        try:
            with trio.move_on_after(FORWARD_SECONDS):
                group.send(group.replica.primary, message)
                await waiting.done.wait()
        finally:
            del self._waiting[number]
        answer = waiting.answer
        if answer is None or not answer.done:
            raise NotReady(f"the primary of group {group.name} hasn't recorded what was to be read: try again")
        return AuditAppended(TenantId(answer.tenant), answer.index, answer.first_entry, answer.position), 0

    def _on_message(self, message: RecordMessage | RecordedMessage) -> None:
        if isinstance(message, RecordMessage):
            self._record(message)
            return
        waiting = self._waiting.get(message.number)
        if waiting is not None and waiting.answer is None:
            waiting.answer = message
            waiting.done.set()

    def _record(self, message: RecordMessage) -> None:
        """A member asks: have it committed, and say so."""
        group = self._group
        if not group.is_serving or not self._are_entries(message):
            mark("audit.forwarded_in_vain")
            self._answer(message, None)
            return
        request = PlainAudit(tenant=TenantId(message.tenant), entries=message.entries)
        pending: list[Pending] = []

        def on_reply(reply: Reply) -> None:
            assert isinstance(reply, AuditAppended)
            first = reply.first_entry + pending[0].entry
            self._answer(message, AuditAppended(reply.tenant, reply.index, first, reply.position))

        try:
            pending.append(group.submit(request, on_reply, INTERNAL, partial(self._on_lost, message)))
        except DefiniteError:
            self._answer(message, None)

    def _on_lost(self, message: RecordMessage, _error: object) -> None:
        self._answer(message, None)

    def _are_entries(self, message: RecordMessage) -> bool:
        size_max = self._group.limits.audit_entry_size_max
        try:
            return all(len(entry) <= size_max and not decode_entry(entry).time for entry in message.entries)
        except DamagedData:
            return False

    def _answer(self, message: RecordMessage, found: AuditAppended | None) -> None:
        told = found or AuditAppended(TenantId(0), 0, 0, 0)
        answer = RecordedMessage(
            number=message.number,
            done=found is not None,
            tenant=told.tenant,
            index=told.index,
            first_entry=told.first_entry,
            position=told.position,
            replica=self._group.replica.replica,
        )
        self._group.send(message.replica, answer)
