"""Normal operation: prepares, acks, commits, heartbeats, and proofs that no newer view has begun.

Source: Viewstamped Replication Revisited, section 4.1; for reads without a log write section 6.3, with a round of
heartbeats in place of leases.

Rules
- The primary advances its head before the prepare is written, and sends while it writes.
- An ack counts for one (view, op, checksum) and one voter. It leaves only when prepare and header are durable.
- Ops commit strictly in order, when a replication quorum of every configuration that may hold has acked, and the chain
  up to there is whole.
- A backup commits what the primary committed, as far as it holds it.
"""

from __future__ import annotations

from vdb.limits import PREPARE_HEADER_SIZE
from vdb.marks import mark
from vdb.vsr.header import Operation, Prepare, PrepareHeader
from vdb.vsr.message import (
    CheckpointDurable,
    CommitMessage,
    CommitOk,
    Confirm,
    PrepareDurable,
    PrepareMessage,
    PrepareOk,
    Propose,
)
from vdb.vsr.state import ReplicaState, Status

# The primary's side ----------------------------------------------------------------------------------------------


def reusable_op(state: ReplicaState) -> int:
    """Slots of ops up to this may be written again: a replication quorum has them in a durable checkpoint."""
    lowest = state.checkpoint_op
    for configuration in state.active_configurations():
        reached = [
            state.checkpoint_op if voter == state.replica else state.peer(voter).checkpoint_op
            for voter in configuration.voters
        ]
        reached.sort(reverse=True)
        lowest = min(lowest, reached[configuration.quorums.replication - 1])
    return lowest


def can_propose(state: ReplicaState) -> bool:
    """Whether `Propose` is welcome now."""
    return (
        state.is_serving_primary
        and not state.abdicated
        and state.op - state.commit_number < state.limits.pipeline_max
        and state.configuration == state.committed_configuration
        and state.op + 1 - state.limits.wal_slots <= reusable_op(state)
    )


def on_propose(state: ReplicaState, propose: Propose) -> None:
    """Section 4.1, step 2. The slot is dirty before the write starts."""
    assert can_propose(state)
    assert propose.timestamp > state.log.last_timestamp
    assert propose.request_count >= 1
    op = state.op + 1
    configuration = propose.configuration
    if configuration is not None:
        assert state.op == state.commit_number, "a reconfiguration is alone in the pipeline"
        assert configuration.epoch == op
        assert configuration.primary(state.view) == state.replica
    header = PrepareHeader.make(
        body=propose.body,
        parent=state.log.head_checksum,
        checkpoint_id=state.checkpoint_id,
        group=state.group,
        view=state.view,
        op=op,
        commit=state.commit_number,
        timestamp=propose.timestamp,
        request_count=propose.request_count,
        operation=Operation.REQUESTS if configuration is None else Operation.RECONFIGURATION,
        configuration=state.configuration if configuration is None else configuration,
    )
    assert PREPARE_HEADER_SIZE <= header.size <= state.limits.message_size_max
    if state.op == state.commit_number:
        # Nothing could move while there was nothing to commit.
        state.progress = state.tick
    state.log.append(header)
    state.acks[op] = {}
    prepare = Prepare(header, propose.body)
    state.write(prepare)
    state.broadcast(PrepareMessage(prepare=prepare, replica=state.replica))


def on_prepare_ok(state: ReplicaState, ok: PrepareOk) -> None:
    """Count the ack; commit what has a quorum, in order (section 4.1, step 5)."""
    if ok.view != state.view or not state.is_primary:
        mark("vsr.ack_of_another_view")
        return
    header = state.log.header(ok.op)
    if ok.op <= state.commit_number or header is None or header.checksum != ok.checksum:
        mark("vsr.ack_of_another_prepare")
        return
    if ok.replica != state.replica:
        state.peer(ok.replica).heard = state.tick
    count_ack(state, ok)
    commit_what_has_a_quorum(state)


def count_ack(state: ReplicaState, ok: PrepareOk) -> None:
    """An ack of a replica counts once."""
    state.acks.setdefault(ok.op, {})[ok.replica] = None


def commit_what_has_a_quorum(state: ReplicaState) -> None:
    before = state.commit_number
    while state.commit_number < state.op:
        header = state.log.header(state.commit_number + 1)
        if header is None or not state.log.is_here(header.op):
            break
        if header.op > state.commit_known and not has_quorum(state, header):
            break
        commit(state, header)
    if state.commit_number > before:
        answer_rounds(state)


def has_quorum(state: ReplicaState, header: PrepareHeader) -> bool:
    """Whether the next op to commit is acked by a quorum of the configuration before it and of the one it names."""
    acks = state.acks.get(header.op, {})
    before = state.committed_configuration
    configurations = (before,) if header.configuration == before else (before, header.configuration)
    return all(
        sum(voter in acks for voter in configuration.voters) >= configuration.quorums.replication
        for configuration in configurations
    )


def heartbeat(state: ReplicaState) -> None:
    """Tell everybody how far the group is; with each the round goes up."""
    state.round += 1
    state.sent["heartbeat"] = state.tick
    message = CommitMessage(
        view=state.view,
        commit=state.commit_number,
        checksum=state.log.checksum(state.commit_number) or bytes(32),
        head=state.op,
        checkpoint_op=state.checkpoint_op,
        round=state.round,
        replica=state.replica,
    )
    state.broadcast(message)


def on_commit_ok(state: ReplicaState, ok: CommitOk) -> None:
    if ok.view != state.view or not state.is_primary:
        return
    peer = state.peer(ok.replica)
    peer.view, peer.heard = ok.view, state.tick
    peer.commit, peer.checkpoint_op = ok.commit, max(peer.checkpoint_op, ok.checkpoint_op)
    peer.round = max(peer.round, ok.round)
    learn_commit(state, ok.view, ok.commit)
    answer_rounds(state)


def on_confirm(state: ReplicaState, confirm: Confirm) -> None:
    """Section 6.3: the answer must come from a quorum that was in this view after the question."""
    if not state.is_serving_primary:
        return
    under_way = any(needed == state.round for _number, needed in state.rounds_waited)
    state.rounds_waited.append((confirm.number, state.round + 1))
    if not under_way and not state.is_alone:
        heartbeat(state)
    answer_rounds(state)


def answer_rounds(state: ReplicaState) -> None:
    """Confirm what a replication quorum has answered; then ask for those who came meanwhile."""
    if not state.rounds_waited or not state.is_serving_primary or state.commit_number < state.view_start_op:
        return
    waiting = []
    for number, needed in state.rounds_waited:
        if is_round_answered(state, needed):
            state.confirmed(number)
        else:
            waiting.append((number, needed))
    state.rounds_waited = waiting
    if waiting and all(needed == state.round + 1 for _number, needed in waiting):
        heartbeat(state)


def is_round_answered(state: ReplicaState, needed: int) -> bool:
    answered = {node: None for node, peer in state.peers.items() if peer.round >= needed and peer.view == state.view}
    answered[state.replica] = None
    return state.is_quorum(answered, "replication")


# The backups' side -----------------------------------------------------------------------------------------------


def on_prepare(state: ReplicaState, message: PrepareMessage) -> None:
    """A new op of this view's primary, or an old one that was asked for."""
    header = message.prepare.header
    if header.view > state.view:
        note_view(state, header.view)
        return
    if header.op > state.checkpoint_op + state.limits.wal_slots:
        mark("vsr.prepare_beyond_the_ring")
        return
    from_primary = message.replica == state.primary and not state.is_primary
    if from_primary and state.status is Status.NORMAL and header.view == state.view:
        state.rhythm.beat(state.tick)
        note_commit(state, header.commit)
        if header.op > state.op:
            take_new_head(state, header)
    fill(state, message.prepare)
    advance_commits(state)


def take_new_head(state: ReplicaState, header: PrepareHeader) -> None:
    """Only the primary's own prepares of this view move a backup's head."""
    if header.op == state.op + 1 and header.parent != state.log.head_checksum:
        mark("vsr.head_does_not_chain")
        return
    if header.op > state.op + 1:
        mark("vsr.gap")
    state.log.append(header)


def fill(state: ReplicaState, prepare: Prepare) -> None:
    """Write a prepare that belongs to the log and isn't here; ack it again if it is."""
    header = prepare.header
    known = state.log.header(header.op)
    if known is None or known.checksum != header.checksum or header.op <= state.checkpoint_op:
        return
    if not state.log.is_here(header.op):
        state.write(prepare)
    elif state.log.is_held(header.op):
        send_prepare_ok(state, header)


def on_prepare_durable(state: ReplicaState, durable: PrepareDurable) -> None:
    """Our own write is synced: ack it to the primary of the current view."""
    header = durable.header
    state.log.set_held(header)
    if header.op <= state.commit_number and state.is_primary:
        mark("vsr.durable_after_commit")
    send_prepare_ok(state, header)


def send_prepare_ok(state: ReplicaState, header: PrepareHeader) -> None:
    """Only of what is durable, in normal operation, by a voter, and while somebody may need it."""
    if state.status is not Status.NORMAL or not state.is_voter or header.op <= state.commit_number:
        return
    if not state.log.is_held(header.op) or state.log.checksum(header.op) != header.checksum:
        return
    ok = PrepareOk(view=state.view, op=header.op, checksum=header.checksum, replica=state.replica)
    state.send(state.primary, ok)


def ack_what_is_held(state: ReplicaState) -> None:
    """Acks may have been lost with a connection."""
    for op in range(state.commit_number + 1, state.op + 1):
        header = state.log.header(op)
        if header is not None:
            send_prepare_ok(state, header)


def on_commit(state: ReplicaState, message: CommitMessage) -> None:
    """A heartbeat of the primary."""
    peer = state.peer(message.replica)
    peer.heard = state.tick
    peer.checkpoint_op = max(peer.checkpoint_op, message.checkpoint_op)
    if message.view > state.view:
        peer.view = message.view
        note_view(state, message.view)
        return
    if message.view < state.view or message.replica != state.primary or state.is_primary:
        mark("vsr.commit_of_another_view")
        return
    if state.status is not Status.NORMAL:
        note_view(state, message.view)
        return
    peer.view, peer.commit = message.view, message.commit
    state.rhythm.beat(state.tick)
    if state.wish == state.view + 1 and not state.abdicated:
        state.wish = 0
    if state.log.checksum(message.commit) in (None, message.checksum):
        note_commit(state, message.commit)
    else:
        mark("vsr.commit_of_another_log")
    advance_commits(state)
    answer = CommitOk(
        view=state.view,
        round=message.round,
        commit=state.commit_number,
        checkpoint_op=state.checkpoint_op,
        replica=state.replica,
    )
    state.send(message.replica, answer)
    ack_what_is_held(state)
    if message.head > state.op:
        note_view(state, message.view)
    elif state.heard_view == state.view:
        state.heard_view = 0


def advance_commits(state: ReplicaState) -> None:
    """Commit in order what is known to be committed, as far as prepares are here and the chain is whole."""
    if state.status is not Status.NORMAL:
        return
    while state.commit_number < min(state.commit_known, state.op):
        header = state.log.header(state.commit_number + 1)
        if header is None or not state.log.is_here(header.op):
            break
        commit(state, header)


# Both ------------------------------------------------------------------------------------------------------------


def commit(state: ReplicaState, header: PrepareHeader) -> None:
    assert header.op == state.commit_number + 1
    assert header.parent == state.log.checksum(state.commit_number), (
        f"op {header.op} doesn't chain to what is committed"
    )
    state.commit_number = header.op
    state.commit_known = max(state.commit_known, header.op)
    state.acks.pop(header.op, None)
    state.progress = state.tick
    state.committed(header)
    if header.configuration.epoch > state.committed_configuration.epoch:
        for left in [node for node in state.committed_configuration.voters if node not in header.configuration.voters]:
            # It may come back on another disk: what its old one held counts no more.
            state.peers.pop(left, None)
        state.committed_configuration = header.configuration
        if state.is_alone and state.abdicated:
            mark("vsr.resumed_alone")
            state.abdicated = False
            state.wish = 0
        if state.replica not in header.configuration.members + state.configuration.members:
            mark("vsr.removed")
            state.status = Status.REMOVED
            state.removed()


def note_commit(state: ReplicaState, commit_number: int) -> None:
    """Somebody has committed so far. One that had nothing to catch up with begins to only now."""
    if commit_number > state.commit_known == state.commit_number:
        state.progress = state.tick
    state.commit_known = max(state.commit_known, commit_number)


def learn_commit(state: ReplicaState, view: int, commit_number: int) -> None:
    """Another member has committed so far, in this view or an earlier one: the log of this view holds all that."""
    if state.status is not Status.NORMAL or view > state.view or commit_number <= state.commit_number:
        return
    note_commit(state, min(commit_number, state.op))
    if state.is_primary:
        commit_what_has_a_quorum(state)
    else:
        advance_commits(state)


def note_view(state: ReplicaState, view: int) -> None:
    """A view is durable somewhere that this replica isn't in, or whose log it lacks."""
    if view > state.heard_view:
        state.heard_view = view
        state.heard_view_since = state.tick


def on_checkpoint_durable(state: ReplicaState, durable: CheckpointDurable) -> None:
    assert state.checkpoint_op < durable.op <= state.commit_number
    state.log.set_base(durable.op)
    state.checkpoint_id = durable.checkpoint_id
