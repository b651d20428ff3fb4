"""Which input does what in which status: every pair has a cell, a handler or the reason why the input is dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen

from vdb.vsr.message import (
    Abdicate,
    CheckpointDurable,
    CommitMessage,
    CommitOk,
    Confirm,
    DoViewChange,
    Headers,
    Input,
    NotMember,
    Opened,
    PeerLost,
    Ping,
    PrepareDamaged,
    PrepareDurable,
    PrepareMessage,
    PrepareOk,
    Propose,
    RequestHeaders,
    RequestPrepare,
    RequestStartView,
    StartView,
    StartViewChange,
    Tick,
    ViewDurable,
)
from vdb.vsr.normal import (
    on_checkpoint_durable,
    on_commit,
    on_commit_ok,
    on_confirm,
    on_prepare,
    on_prepare_durable,
    on_prepare_ok,
    on_propose,
)
from vdb.vsr.opening import on_opened
from vdb.vsr.repair import (
    on_commit_while_unsure,
    on_headers,
    on_ping,
    on_prepare_damaged,
    on_request_headers,
    on_request_prepare,
)
from vdb.vsr.state import ReplicaState, Status
from vdb.vsr.ticks import on_tick
from vdb.vsr.view_change import (
    on_abdicate,
    on_do_view_change,
    on_not_member,
    on_peer_lost,
    on_request_start_view,
    on_start_view,
    on_start_view_change,
    on_view_durable,
)


@frozen
class Dropped:
    """A cell of the table in which the input has no effect, and why."""

    reason: str


Handler = Callable[[ReplicaState, Any], None]

_BEFORE_OPEN = Dropped("nothing is known before storage has recovered")
_ONCE = Dropped("reported once, at the start")
_NOT_SERVING = Dropped("only in normal operation")
_UNSURE = Dropped("a replica that isn't sure of its head neither acks nor votes")
_GONE = Dropped("a removed replica has no say")
_NOTHING_PENDING = Dropped("no view is being made durable")

_NORMAL_ALONE: Sequence[tuple[type[Input], Handler]] = (
    (Propose, on_propose),
    (PrepareOk, on_prepare_ok),
    (CommitOk, on_commit_ok),
    (Confirm, on_confirm),
    (Abdicate, on_abdicate),
    (PeerLost, on_peer_lost),
    (RequestStartView, on_request_start_view),
)
"""Inputs that have an effect in normal operation alone."""

_VOTING: Sequence[tuple[type[Input], Handler]] = (
    (PrepareMessage, on_prepare),
    (CommitMessage, on_commit),
    (StartViewChange, on_start_view_change),
    (DoViewChange, on_do_view_change),
    (Headers, on_headers),
)
"""Inputs for those that are sure of their log's head. Others hear wishes, as they may abstain, and who is primary."""

_ALWAYS: Sequence[tuple[type[Input], Handler]] = (
    (PrepareDurable, on_prepare_durable),
    (PrepareDamaged, on_prepare_damaged),
    (CheckpointDurable, on_checkpoint_durable),
    (Tick, on_tick),
    (Ping, on_ping),
    (StartView, on_start_view),
    (RequestHeaders, on_request_headers),
    (RequestPrepare, on_request_prepare),
    (NotMember, on_not_member),
)
"""Inputs with an effect in every status in which the group is open."""

_REPORTS = (PrepareDurable, PrepareDamaged, CheckpointDurable, ViewDurable)


def is_held_back(message: Input) -> bool:
    """Whether an input waits while a view is being written."""
    return not isinstance(message, _REPORTS)


def _table() -> dict[tuple[Status, type[Input]], Handler | Dropped]:
    recovering, recovering_head, changing, normal, removed = Status
    table: dict[tuple[Status, type[Input]], Handler | Dropped] = {(recovering, Opened): on_opened}
    for status in (recovering_head, changing, normal, removed):
        table[status, Opened] = _ONCE
    for status in (recovering_head, changing):
        table[status, ViewDurable] = on_view_durable
    for status in (normal, removed):
        table[status, ViewDurable] = _NOTHING_PENDING
    for kind, handler in _NORMAL_ALONE:
        table.update({(recovering_head, kind): _UNSURE, (changing, kind): _NOT_SERVING, (normal, kind): handler})
    for kind, handler in _VOTING:
        table.update({(recovering_head, kind): _UNSURE, (changing, kind): handler, (normal, kind): handler})
    table[recovering_head, StartViewChange] = on_start_view_change
    table[recovering_head, CommitMessage] = on_commit_while_unsure
    for kind, handler in _ALWAYS:
        table.update({(recovering_head, kind): handler, (changing, kind): handler, (normal, kind): handler})
    kinds = [ViewDurable, *(kind for kind, _ in (*_NORMAL_ALONE, *_VOTING, *_ALWAYS))]
    for kind in kinds:
        table.setdefault((recovering, kind), _BEFORE_OPEN)
        table.setdefault((removed, kind), _GONE)
    for kind in (PrepareDurable, CheckpointDurable):
        table[removed, kind] = table[normal, kind]
    return table


TABLE = _table()
