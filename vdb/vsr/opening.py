"""The first input: what storage found decides where a replica stands.

Rules
- A replica that was in normal operation in its view (log_view = view) has the log with which that view started, as the
  superblock keeps it, and what the WAL holds of that view above. Prepares of older views above were cut.
- One that had voted (log_view < view) has the log that its vote tells, whatever the WAL says, and votes the same again.
- If a damaged slot above the head may have held an op that was acked, the head isn't certain. It is again once a log
  of a view was taken; what says so outlives a start, in the vote that is kept.
- One that is only looked at commits what its own log says is committed: each prepare tells how far its primary had
  come. A group of one may have acknowledged all below its first gap. Then it does nothing, like one that was removed.
- A primary that starts again doesn't go on in its view. A group of one raises its view, durably, before it serves, and
  has no op above a gap.
"""

from __future__ import annotations

from vdb.marks import mark
from vdb.vsr.header import PrepareHeader
from vdb.vsr.message import Opened
from vdb.vsr.normal import commit, note_commit
from vdb.vsr.state import ReplicaState, Status, Step
from vdb.vsr.tail import decode_log, decode_vote
from vdb.vsr.view_change import send_vote


def on_opened(state: ReplicaState, opened: Opened) -> None:
    assert opened.log_view <= opened.view
    assert opened.nonce != 0
    state.view = opened.view
    state.log_view = opened.log_view
    state.nonce = opened.nonce
    state.checkpoint_id = opened.checkpoint_id
    state.commit_number = opened.checkpoint_op
    state.commit_known = max(opened.commit, opened.checkpoint_op)
    state.committed_configuration = opened.configuration
    state.log.open(
        base_op=opened.checkpoint_op,
        base_checksum=opened.checkpoint_checksum,
        base_timestamp=opened.checkpoint_timestamp,
    )
    _recover_log(state, opened)
    state.rhythm.start(state.tick)
    if opened.looks:
        _only_look(state)
    else:
        _take_a_status(state, opened)


def _recover_log(state: ReplicaState, opened: Opened) -> None:
    """Put the head where the superblock and the WAL say it is, and keep what chains to it."""
    state.log.recover(_not_cut(opened))
    tail = _tail(state, opened)
    if tail is None:
        state.log.recover_chain(opened.headers)
    else:
        state.log.recover_tail(opened.headers, tail)
    for op in opened.faulty:
        state.log.set_faulty(op)
    for header in tail or opened.headers:
        if header.op <= state.op:
            note_commit(state, header.commit)


def _not_cut(opened: Opened) -> tuple[PrepareHeader, ...]:
    """The WAL without what the log of the present view has cut: a slot keeps it until the next op there is written."""
    started = decode_log(opened.tail)
    if started is None:
        return opened.headers
    commit, headers = started
    ended = headers[-1].op if headers else commit
    return tuple(header for header in opened.headers if header.op <= ended or header.view >= opened.log_view)


def _tail(state: ReplicaState, opened: Opened) -> tuple[PrepareHeader, ...] | None:
    """The end of the log above the checkpoint; None when the superblock names none, as in a group of one.

    One that was alone when its view began, and isn't any more, may have acked above what it never wrote.
    """
    base = opened.checkpoint_op
    if not opened.tail:
        newer = tuple(header for header in opened.headers if header.view >= opened.log_view)
        alone = all(header.configuration.voters == (state.replica,) for header in newer)
        return None if alone else newer
    vote = decode_vote(opened.tail, state.replica)
    if vote is not None and vote.view == opened.view > opened.log_view:
        state.vote = vote
        return tuple(entry.header for entry in vote.tail if entry.header is not None and entry.op > base)
    started = decode_log(opened.tail)
    if started is None:
        return None
    commit, headers = started
    ended = headers[-1].op if headers else commit
    newer = tuple(header for header in opened.headers if header.op > ended and header.view >= opened.log_view)
    return tuple(header for header in headers if header.op > base) + newer


def _take_a_status(state: ReplicaState, opened: Opened) -> None:
    if state.is_alone:
        _cut_at_the_first_gap(state)
        state.view = state.log_view = opened.view + 1
        state.status = Status.VIEW_CHANGE
        state.make_durable(Step.ALONE, b"")
    elif state.vote is not None:
        mark("vsr.votes_again")
        state.status = Status.VIEW_CHANGE
        state.unsure = state.vote.unsure
        if state.is_voter:
            # Not if a checkpoint came meanwhile in which it is a learner.
            send_vote(state)
    elif not opened.head_certain or any(op > state.op for op in opened.faulty):
        mark("vsr.recovering_head")
        state.status = Status.RECOVERING_HEAD
        state.unsure = True
    elif state.is_primary or opened.log_view < opened.view:
        mark("vsr.primary_starts_again")
        state.status = Status.VIEW_CHANGE
        state.wish = state.view + 1
    else:
        state.status = Status.NORMAL
        state.view_start_op = state.op


def _only_look(state: ReplicaState) -> None:
    end = state.op if state.is_alone else min(state.commit_known, state.op)
    while state.commit_number < end:
        header = state.log.header(state.commit_number + 1)
        if header is None or not state.log.is_held(header.op):
            break
        commit(state, header)
    state.status = Status.REMOVED


def _cut_at_the_first_gap(state: ReplicaState) -> None:
    """One that became alone has nobody to ask for what it never wrote; what lies above was never committed."""
    for op in range(state.commit_known + 1, state.op + 1):
        if not state.log.is_held(op):
            mark("vsr.alone_cuts_at_a_gap")
            state.log.truncate(op - 1)
            state.truncated(state.op)
            return
