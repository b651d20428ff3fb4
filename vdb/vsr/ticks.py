"""What a replica does because time has passed. Everything here is sent again until it works, and safe to send twice."""

from __future__ import annotations

from vdb.marks import mark
from vdb.vsr.message import Ping, Tick
from vdb.vsr.normal import heartbeat
from vdb.vsr.repair import check_sync, repair, request_start_view
from vdb.vsr.state import ReplicaState, Status
from vdb.vsr.view_change import enter_view, send_vote, start_when_whole, tell_wish, want_next_view


def on_tick(state: ReplicaState, _tick: Tick) -> None:
    state.tick += 1
    if not state.others() or state.status is Status.REMOVED:
        return
    if state.is_due("ping", state.timing.ping):
        ping = Ping(view=durable_view(state), commit=state.commit_number, checkpoint_op=state.checkpoint_op,
                    replica=state.replica)  # fmt: skip
        state.broadcast(ping)
    match state.status:
        case Status.NORMAL if state.is_primary:
            _tick_as_primary(state)
        case Status.NORMAL:
            _tick_as_backup(state)
        case Status.VIEW_CHANGE:
            _tick_in_view_change(state)
        case Status.RECOVERING_HEAD:
            _tick_while_unsure(state)
        case _:
            pass
    _follow_heard_view(state)
    if state.is_due("repair", state.timing.repair):
        repair_if_allowed(state)
        start_when_whole(state)
    check_sync(state)


def durable_view(state: ReplicaState) -> int:
    """The view that may be spoken of. Nothing ticks while a newer one is being written."""
    assert state.persisting is None
    return state.view


def repair_if_allowed(state: ReplicaState) -> None:
    if state.status is Status.NORMAL or state.starting:
        repair(state)


def _tick_as_primary(state: ReplicaState) -> None:
    if not state.abdicated and not can_go_on(state):
        mark("vsr.stepped_down")
        state.abdicated = True
    if state.abdicated:
        _tick_as_abdicated(state)
        return
    state.sent.pop("abdicated", None)
    if state.is_due("heartbeat", state.timing.heartbeat):
        heartbeat(state)
    if state.op > state.commit_number and state.tick - state.progress > 2 * state.timing.resend:
        send_pipeline_again(state)


def can_go_on(state: ReplicaState) -> bool:
    """Whether a quorum is there and what is in the pipeline moves."""
    stalled = state.op > state.commit_number and state.tick - state.progress > 2 * state.timing.step_down
    return hears_a_quorum(state) and not stalled


def _tick_as_abdicated(state: ReplicaState) -> None:
    """Ask for another primary. When nobody takes over, and a quorum is there, this one is better than none."""
    since = state.sent.setdefault("abdicated", state.tick)
    if state.tick - since > state.timing.vote_expiry and hears_a_quorum(state):
        mark("vsr.resumed")
        state.abdicated = False
        state.wish = 0
        state.progress = state.tick
    elif state.is_due("wish", state.timing.resend):
        want_next_view(state)


def hears_a_quorum(state: ReplicaState) -> bool:
    heard = {node: None for node, peer in state.peers.items() if state.tick - peer.heard <= state.timing.step_down}
    heard[state.replica] = None
    return state.is_quorum(heard, "replication")


def send_pipeline_again(state: ReplicaState) -> None:
    """Prepares without a quorum for long: to those who haven't acked them."""
    if not state.is_due("prepares", 2 * state.timing.resend):
        return
    mark("vsr.prepares_sent_again")
    for op in range(state.commit_number + 1, state.op + 1):
        header = state.log.header(op)
        if header is None or not state.log.is_here(op):
            continue
        for other in state.others():
            if other not in state.acks.get(op, {}):
                state.supply(other, header)


def _tick_as_backup(state: ReplicaState) -> None:
    if not state.is_voter:
        return
    if state.wish > state.view or state.rhythm.is_silent(state.tick):
        if state.wish <= state.view:
            mark("vsr.suspicion")
        if state.is_due("wish", state.timing.resend):
            want_next_view(state)


def _tick_in_view_change(state: ReplicaState) -> None:
    if not state.is_voter:
        if state.is_due("start view", state.timing.resend):
            request_start_view(state)
        return
    if state.vote is not None and not state.starting and state.is_due("vote", state.timing.resend):
        send_vote(state)
    patience = state.timing.view_change << state.failures
    if state.wish <= state.view and state.tick - state.view_since > patience + state.random(state.timing.jitter + 1):
        mark("vsr.view_change_timeout")
        want_next_view(state)
    elif state.wish > state.view and state.is_due("wish", state.timing.resend):
        tell_wish(state)


def _tick_while_unsure(state: ReplicaState) -> None:
    """Ask for the log of the view. When nobody leads it, let the others lead the next one, if that can be."""
    if state.is_due("start view", state.timing.resend):
        request_start_view(state)
    waited = state.tick - state.view_since
    if state.may_abstain and waited > state.timing.view_change and state.is_due("wish", state.timing.resend):
        want_next_view(state)


def _follow_heard_view(state: ReplicaState) -> None:
    """Others are in a view that this replica isn't in: ask for its log, and in the end help it to start."""
    behind = state.heard_view > state.view or (
        state.heard_view == state.view and state.heard_view > 0 and not (state.is_primary or state.starting)
    )
    if not behind or state.status not in (Status.NORMAL, Status.VIEW_CHANGE):
        return
    if state.is_due("start view", state.timing.resend):
        request_start_view(state)
    waited = state.tick - state.heard_view_since
    if state.heard_view > state.view and waited > state.timing.view_change and state.is_voter:
        mark("vsr.joins_a_view_change")
        enter_view(state, state.heard_view)
