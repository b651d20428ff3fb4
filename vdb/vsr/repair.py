"""Repair: headers and prepares that a log lacks, and the view's log for one who missed its start.

Sources: Viewstamped Replication Revisited, sections 5.2 and 5.3; Protocol-Aware Recovery, section 3.

Rules
- Repair fills holes behind the head and never moves the head.
- A header is believed only if its successor in the log names it as its parent.
- Whom to ask is drawn, within a budget for each round; it goes on when the group is idle.
- What the others' rings no longer hold comes by state sync: a newer checkpoint.
"""

from __future__ import annotations

from vdb.marks import mark
from vdb.vsr.message import (
    CommitMessage,
    Headers,
    Ping,
    PrepareDamaged,
    RequestHeaders,
    RequestPrepare,
    RequestStartView,
)
from vdb.vsr.normal import advance_commits, learn_commit, note_view
from vdb.vsr.ready import SyncTarget
from vdb.vsr.state import ReplicaState, Status
from vdb.vsr.view_change import start_when_whole, tell_not_member

HEADERS_MAX = 32
"""Headers in one answer."""

# Asking ----------------------------------------------------------------------------------------------------------


def repair(state: ReplicaState) -> None:
    """One round: ask for the highest missing headers and for the lowest missing prepares."""
    others = state.others()
    if not others:
        return
    request_headers(state, others)
    asked = 0
    reach = min(state.op, state.checkpoint_op + state.limits.wal_slots)
    for op in range(state.log.first_not_here(), reach + 1):
        header = state.log.header(op)
        if header is None or state.log.is_here(op):
            continue
        mark("vsr.repair_prepare")
        target = others[state.random(len(others))]
        state.send(target, RequestPrepare(op=op, checksum=header.checksum, replica=state.replica))
        asked += 1
        if asked == state.timing.repair_budget:
            return


def request_headers(state: ReplicaState, others: tuple[int, ...]) -> None:
    last = next((op for op in range(state.op - 1, state.commit_number, -1) if state.log.header(op) is None), None)
    if last is None:
        return
    mark("vsr.repair_headers")
    first = last
    while first - 1 > state.commit_number and last - first < HEADERS_MAX - 1 and state.log.header(first - 1) is None:
        first -= 1
    target = others[state.random(len(others))]
    state.send(target, RequestHeaders(first=first, last=last, replica=state.replica))


def request_start_view(state: ReplicaState) -> None:
    """Ask everybody: who the primary is, a newer configuration may say."""
    view = max(state.view, state.heard_view)
    state.broadcast(RequestStartView(view=view, nonce=state.nonce, replica=state.replica))


def on_commit_while_unsure(state: ReplicaState, message: CommitMessage) -> None:
    """Only a primary sends this: one that the replica's own configuration doesn't name has to be asked, too."""
    if message.replica not in state.others() and state.is_due("start view elsewhere", state.timing.resend):
        mark("vsr.asks_a_stranger")
        view = max(state.view, message.view)
        state.send(message.replica, RequestStartView(view=view, nonce=state.nonce, replica=state.replica))


def check_sync(state: ReplicaState) -> None:
    """State sync, when the others' rings can't have what comes next, or repair hasn't got it for long.

    Not from a newer view: a replica in an older one with commits of a newer one would vouch there for another log.
    """
    if state.status not in (Status.NORMAL, Status.VIEW_CHANGE) or state.commit_known <= state.commit_number:
        return
    if state.persisting is not None:
        return
    ahead = {
        node: peer.checkpoint_op
        for node, peer in state.peers.items()
        if node in state.others() and peer.view <= state.view
    }
    sources = tuple(node for node, op in ahead.items() if op > state.commit_number)
    lapped = state.op - state.limits.wal_slots >= state.commit_number + 1
    waited = state.tick - state.progress
    if sources and (lapped or waited > state.timing.sync_after) and state.is_due("sync", state.timing.resend):
        mark("vsr.sync")
        state.want_sync(SyncTarget(checkpoint_op=max(ahead[node] for node in sources), sources=sources))


# Answering -------------------------------------------------------------------------------------------------------


def on_request_headers(state: ReplicaState, request: RequestHeaders) -> None:
    last = min(request.last, state.op)
    first = max(request.first, last - HEADERS_MAX + 1)
    found = [state.log.header(op) for op in range(first, last + 1)]
    headers = tuple(header for header in found if header is not None)
    if headers:
        state.send(request.replica, Headers(headers=headers, replica=state.replica))


def on_request_prepare(state: ReplicaState, request: RequestPrepare) -> None:
    header = state.log.header(request.op)
    if header is None or header.checksum != request.checksum or not state.log.is_here(request.op):
        mark("vsr.prepare_not_here")
        return
    state.supply(request.replica, header)


# Taking ----------------------------------------------------------------------------------------------------------


def on_headers(state: ReplicaState, message: Headers) -> None:
    """From the highest down, as far as they chain to what is known."""
    for header in sorted(message.headers, key=lambda header: header.op, reverse=True):
        if is_believed(state, header.op, header.checksum):
            state.log.put_header(header)
    start_when_whole(state)
    advance_commits(state)


def is_believed(state: ReplicaState, op: int, checksum: bytes) -> bool:
    """Whether the op above, which is known, names this as its parent."""
    if not state.commit_number < op < state.op or state.log.header(op) is not None:
        return False
    above = state.log.header(op + 1)
    return above is not None and above.parent == checksum


def on_prepare_damaged(state: ReplicaState, damaged: PrepareDamaged) -> None:
    """The slot can't be read: what it held may have been acked."""
    if state.log.checksum(damaged.op) == damaged.checksum and damaged.op > state.checkpoint_op:
        mark("vsr.prepare_damaged")
        state.log.set_faulty(damaged.op)


def on_ping(state: ReplicaState, ping: Ping) -> None:
    peer = state.peer(ping.replica)
    peer.heard = state.tick
    peer.view = ping.view
    peer.commit = max(peer.commit, ping.commit)
    peer.checkpoint_op = max(peer.checkpoint_op, ping.checkpoint_op)
    if ping.view > state.view:
        note_view(state, ping.view)
    learn_commit(state, ping.view, ping.commit)
    tell_not_member(state, ping.replica)
