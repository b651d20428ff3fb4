"""The replicated state machine: one committed request to the next state, effects and a reply.

Rules
- Pure: the result is a function of the arguments. No clock, no randomness, no order of a hash table.
- Total: every decoded command has an answer; what can't be done is a `Refusal`, a value, the same on every replica.
- What the primary predicted (offsets, ids, keys, refusals) is asserted. A difference is a bug of the primary, and a
  replica that went on would take it into its log.
- A refusal changes nothing but the time, and the session that asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from vdb.errors import RefusalCode
from vdb.kernel.audit import append_audit
from vdb.kernel.audit_command import AuditAppend
from vdb.kernel.command import (
    INTERNAL,
    AppendBatch,
    AppendPart,
    Command,
    CreateStream,
    KnownAppend,
    OpenSession,
    Origin,
    PutKey,
    Reconfigure,
    Reject,
    Request,
    RewrapKeys,
    StartPeriod,
    VoidTransaction,
)
from vdb.kernel.consumer_command import ConsumerCommand
from vdb.kernel.consumers import consumer
from vdb.kernel.draft import Draft
from vdb.kernel.effect import Effect
from vdb.kernel.erasing import erase
from vdb.kernel.erasure_command import ErasureCommand
from vdb.kernel.event_ids import answer_known
from vdb.kernel.governance import govern
from vdb.kernel.governance_command import GovernanceCommand
from vdb.kernel.key_rotation import rewrap_keys, start_period
from vdb.kernel.keys import put_key
from vdb.kernel.members import reconfigure
from vdb.kernel.reply import PartKept, Refusal, Reply
from vdb.kernel.sessions import is_of_the_books, open_session, record_reply, stored_reply
from vdb.kernel.state import State
from vdb.kernel.streams import append_batch, create_stream
from vdb.kernel.transactions import append_part, void_transaction

__all__ = ["apply_committed", "apply_prepare", "apply_request", "execute_request", "is_of_the_books", "stored_reply"]

Applied = tuple[State, tuple[Effect, ...], Reply]


def apply_committed(state: State, command: Command, timestamp: int) -> Applied:
    """Execute a command that no session asked for. `timestamp`: microseconds UTC, above the state's last."""
    draft = Draft(state, timestamp)
    reply = _execute(draft, command)
    return draft.freeze(), tuple(draft.effects), reply


def apply_request(state: State, request: Request, timestamp: int) -> Applied:
    """Execute one request on a state of its own."""
    draft = Draft(state, timestamp)
    reply = execute_request(draft, request)
    return draft.freeze(), tuple(draft.effects), reply


def apply_prepare(
    state: State, requests: Sequence[Request], timestamp: int
) -> tuple[State, tuple[Effect, ...], tuple[Reply, ...]]:
    """Execute the requests of one op. `timestamp`: of the first one; each has a microsecond more than the last."""
    draft = Draft(state, timestamp)
    replies = []
    for index, request in enumerate(requests):
        if index:
            draft.start(timestamp + index)
        replies.append(execute_request(draft, request))
    draft.check_paid()
    return draft.freeze(), tuple(draft.effects), tuple(replies)


def execute_request(draft: Draft, request: Request) -> Reply:
    """Execute the request that the draft has begun, once: an origin that has its answer gets it again, and no more."""
    origin, command = request.origin, request.command
    if origin.session == 0:
        if isinstance(command, OpenSession):
            return open_session(draft, origin, command.owner)
        return _execute(draft, command, origin)
    reply = stored_reply(draft, origin)
    if reply is None:
        reply = _execute(draft, command, origin)
        if not isinstance(reply, PartKept):
            record_reply(draft, origin, reply)
    return reply


def _execute(draft: Draft, command: Command, origin: Origin = INTERNAL) -> Reply:
    if isinstance(command, AppendBatch):
        return append_batch(draft, command)
    if isinstance(command, AuditAppend):
        return append_audit(draft, command)
    if isinstance(command, CreateStream):
        return create_stream(draft, command)
    if isinstance(command, PutKey):
        return put_key(draft, command.row)
    if isinstance(command, AppendPart):
        return append_part(draft, origin, command)
    if isinstance(command, ConsumerCommand):
        return consumer(draft, command)
    if isinstance(command, GovernanceCommand):
        return govern(draft, command)
    if isinstance(command, ErasureCommand):
        return erase(draft, command)
    if isinstance(command, KnownAppend):
        return answer_known(draft, command)
    if isinstance(command, VoidTransaction):
        return void_transaction(draft, command.transaction)
    if isinstance(command, Reconfigure):
        return reconfigure(draft, command)
    if isinstance(command, RewrapKeys):
        return rewrap_keys(draft, command)
    if isinstance(command, StartPeriod):
        return start_period(draft, command)
    if isinstance(command, Reject):
        return Refusal(command.code, command.message)
    if isinstance(command, OpenSession):
        return Refusal(RefusalCode.INVALID_ARGUMENT, "a session is opened by a client, outside of a session")
    assert_never(command)
