"""View changes: pre-votes, votes, the start of a view, and the adoption of its log.

Source: Viewstamped Replication Revisited, section 4.2, with start_view_change as a pre-vote, durable votes, and the
choice of the log in `vdb.vsr.choice`.

Rules
- Nobody enters a view before a view-change quorum wants it. Wishes expire.
- A replica votes once a view, after view, log_view and vote are durable, to the primary that its own log names, and
  says the same however often it is asked.
- The new primary makes the chosen log durable, fetches what it lacks of it, and only then starts the view.
- One that is unsure of its head abstains, where that helps (of two, when it is one): it leaves its view for the next
  one like a voter, durably, but its vote says nothing of the log.
- A backup makes the log of a started view durable as its own before it acks anything in it.
"""

from __future__ import annotations

from vdb.marks import mark
from vdb.vsr.choice import Wait, choose
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import PrepareHeader
from vdb.vsr.message import (
    Abdicate,
    DoViewChange,
    NotMember,
    PeerLost,
    RequestStartView,
    StartView,
    StartViewChange,
    TailEntry,
    ViewDurable,
)
from vdb.vsr.normal import (
    ack_what_is_held,
    advance_commits,
    commit_what_has_a_quorum,
    heartbeat,
    note_commit,
    note_view,
)
from vdb.vsr.state import ReplicaState, Status, Step, Wish
from vdb.vsr.tail import encode_log, encode_vote

_FAILURES_MAX = 3

# Wishes ----------------------------------------------------------------------------------------------------------


def want_next_view(state: ReplicaState) -> None:
    """This replica wants to leave its view; say so, now and at each resend."""
    if not state.is_voter or state.is_alone:
        return
    state.wish = max(state.wish, state.view + 1)
    tell_wish(state)
    check_wishes(state)


def tell_wish(state: ReplicaState) -> None:
    state.sent["wish"] = state.tick
    wish = StartViewChange(view=state.wish, replica=state.replica, configuration=state.voting_configuration)
    state.broadcast(wish)


def on_start_view_change(state: ReplicaState, message: StartViewChange) -> None:
    """A pre-vote. One of the primary for the next view means that it gives up this one."""
    if not any(message.replica in configuration.voters for configuration in state.active_configurations()):
        tell_not_member(state, message.replica)
        return
    state.wishes[message.replica] = Wish(message.view, state.tick)
    heard = message.configuration
    if heard.epoch > state.voting_configuration.epoch and state.replica in heard.voters:
        mark("vsr.heard_of_its_promotion")
        state.heard_configuration = heard
    if not state.is_voter:
        return
    gives_up = state.status is Status.NORMAL and message.replica == state.primary and message.view == state.view + 1
    if gives_up and state.wish <= state.view:
        mark("vsr.primary_gave_up")
        want_next_view(state)
    else:
        check_wishes(state)


def on_peer_lost(state: ReplicaState, lost: PeerLost) -> None:
    """A primary whose process has ended needn't be waited for. One that lives after all is heard again.

    It takes a quorum as ever: one whose own connections fail can't end a view.
    """
    if lost.node != state.primary or state.is_primary or not state.is_voter:
        return
    mark("vsr.primary_lost")
    state.rhythm.give_up()
    if state.is_due("wish", state.timing.resend):
        want_next_view(state)


def is_fresh(state: ReplicaState, wish: Wish) -> bool:
    """Wishes expire, so that one who hears nobody can't disturb the others later."""
    return state.tick - wish.tick <= state.timing.vote_expiry


def check_wishes(state: ReplicaState) -> None:
    """Enter the highest view that a view-change quorum wants, or one above it."""
    abstains = state.status is Status.RECOVERING_HEAD and state.may_abstain
    if not abstains and state.status not in (Status.NORMAL, Status.VIEW_CHANGE):
        return
    wanted = {node: wish.view for node, wish in state.wishes.items() if is_fresh(state, wish)}
    if state.wish > state.view:
        wanted[state.replica] = state.wish
    for view in sorted(wanted.values(), reverse=True):
        if view <= state.view:
            return
        who = {node: None for node, wish in wanted.items() if wish >= view}
        if state.is_quorum(who, "view_change"):
            enter_view(state, view)
            return


# Votes -----------------------------------------------------------------------------------------------------------


def enter_view(state: ReplicaState, view: int) -> None:
    """Leave the present view. From here on no ack leaves until a log of this view, or a newer one, is durable."""
    assert view > state.view
    assert state.status is not Status.RECOVERING_HEAD or state.may_abstain
    state.failures = min(state.failures + 1, _FAILURES_MAX) if state.status is Status.VIEW_CHANGE else 0
    leave_view(state)
    state.view = view
    state.vote = make_vote(state)
    state.make_durable(Step.VOTE, encode_vote(state.vote))


def leave_view(state: ReplicaState) -> None:
    """Forget what counts for one view only."""
    state.status = Status.VIEW_CHANGE
    state.starting = False
    state.abdicated = False
    state.stuck = ""
    state.wish = 0
    state.view_since = state.tick
    state.votes.clear()
    state.rounds_waited.clear()
    state.vote = None
    forget_acks(state)


def forget_acks(state: ReplicaState) -> None:
    """Acks are counted from zero in a new view."""
    state.acks.clear()
    for peer in state.peers.values():
        peer.round = 0


def make_vote(state: ReplicaState) -> DoViewChange:
    """What this replica knows of its log's end, above what it knows to be committed."""
    log = state.log
    tail = tuple(vote_entry(state, op) for op in range(max(1, min(state.commit_known, log.head)), log.head + 1))
    return DoViewChange(
        view=state.view,
        log_view=state.log_view,
        commit=state.commit_known,
        checkpoint_op=state.checkpoint_op,
        to=primary_to_vote_for(state).primary(state.view),
        tail=tail,
        unsure=state.unsure,
        replica=state.replica,
    )


def primary_to_vote_for(state: ReplicaState) -> Configuration:
    """The one whose primary gets this replica's vote: while a change waits, the old and the new one by turns.

    Whether the change survives is only said by the votes, and a primary that isn't that of the chosen log can't start.
    """
    return state.voting_configuration if state.view % 2 else state.known_configuration


def vote_entry(state: ReplicaState, op: int) -> TailEntry:
    log = state.log
    nack = op > state.commit_known and log.was_never_acked(op)
    return TailEntry(op=op, header=log.header(op), present=log.is_held(op), nack=nack)


def send_vote(state: ReplicaState) -> None:
    assert state.vote is not None
    state.sent["vote"] = state.tick
    state.send(state.vote.to, state.vote)


def on_do_view_change(state: ReplicaState, vote: DoViewChange) -> None:
    """Collect votes for the view of which this replica may be the primary."""
    if vote.to != state.replica or not state.is_voter:
        mark("vsr.vote_for_another")
        return
    if vote.view > state.view:
        enter_view(state, vote.view)
    elif vote.view < state.view:
        return
    if state.status is Status.NORMAL:
        if state.is_primary:
            state.send(vote.replica, make_start_view(state))
        return
    if state.starting:
        return
    if state.votes.setdefault(vote.replica, vote) != vote:
        mark("vsr.vote_differs")
        return
    choose_log(state)


def choose_log(state: ReplicaState) -> None:
    """Start the view as soon as the votes, this replica's own durable one among them, allow."""
    if state.persisting is not None or state.replica not in state.votes:
        return
    choice = choose(state.votes, state.committed_configuration)
    if isinstance(choice, Wait):
        state.stuck = choice.reason if choice.hopeless else ""
        return
    configuration = _configuration_of(choice.tail, state.committed_configuration)
    if configuration.primary(state.view) != state.replica:
        mark("vsr.primary_of_an_old_configuration")
        return
    if not choice.tail and choice.commit > state.commit_number:
        mark("vsr.primary_lacks_the_checkpoint")
        return
    if is_overtaken(state, choice.tail, choice.commit):
        mark("vsr.votes_overtaken")
        return
    note_commit(state, choice.commit)
    adopt_log(state, choice.tail, choice.commit)
    state.log_view = state.view
    state.starting = True
    state.make_durable(Step.START, encode_log(state.view, state.commit_known, choice.tail))


def _configuration_of(tail: tuple[PrepareHeader, ...], at_least: Configuration) -> Configuration:
    found = tail[-1].configuration if tail else at_least
    return found if found.epoch >= at_least.epoch else at_least


def adopt_log(state: ReplicaState, tail: tuple[PrepareHeader, ...], commit: int) -> None:
    """Make the log end with this tail, in memory and then in the journal.

    An empty one ends at a checkpoint of its sender, at `commit`, and names no header: it confirms nothing that isn't
    committed here. Prepares up to there stay in the journal: they may be the committed ones.
    """
    state.unsure = False
    if tail:
        state.log.install(tail, state.commit_number)
        state.truncated(state.op)
    else:
        assert commit >= state.commit_number
        state.log.end_at(state.commit_number, kept=commit)
        state.truncated(commit)


def is_overtaken(state: ReplicaState, tail: tuple[PrepareHeader, ...], commit: int) -> bool:
    """Whether a log isn't the one that this replica has committed: a checkpoint came here from a view still newer."""
    head = tail[-1].op if tail else commit
    known = state.log.checksum(state.commit_number)
    differs = any(header.op == state.commit_number and known not in (None, header.checksum) for header in tail)
    return head < state.commit_number or differs


# The start of a view ---------------------------------------------------------------------------------------------


def on_view_durable(state: ReplicaState, durable: ViewDurable) -> None:
    """Go on with what the view was made durable for."""
    assert (durable.view, durable.log_view) == (state.view, state.log_view)
    step, state.persisting = state.persisting, None
    match step:
        case Step.VOTE:
            send_vote(state)
            choose_log(state)
        case Step.START:
            start_when_whole(state)
        case Step.ADOPT:
            follow(state)
        case Step.ALONE:
            start_view(state)
        case None:
            raise AssertionError("nothing was to be made durable")


def start_when_whole(state: ReplicaState) -> None:
    """The new primary serves when it has every op of its log above what it has committed."""
    if not state.starting or state.persisting is not None:
        return
    log = state.log
    if all(log.is_here(op) for op in range(state.commit_number + 1, log.head + 1)):
        start_view(state)


def start_view(state: ReplicaState) -> None:
    """Become the serving primary: the pipeline starts with empty ack sets, and acks come anew."""
    assert state.log_view == state.view
    assert state.is_primary
    assert state.op >= state.commit_known, "the log of a new view holds all that is known to be committed"
    state.status = Status.NORMAL
    state.heard_configuration = None
    state.starting = False
    state.failures = 0
    state.view_start_op = state.op
    state.progress = state.tick
    forget_acks(state)
    for other in state.others():
        state.peer(other).heard = state.tick
    state.view_started()
    state.broadcast(make_start_view(state))
    advance_commits(state)
    ack_what_is_held(state)
    heartbeat(state)
    commit_what_has_a_quorum(state)


def make_start_view(state: ReplicaState, nonce: int = 0) -> StartView:
    """The tail begins at what is known to be committed, reached here or not: so it fits into a superblock."""
    commit = min(state.commit_known, state.op)
    headers = [state.log.header(op) for op in range(max(1, commit), state.op + 1)]
    tail = tuple(header for header in headers if header is not None)
    return StartView(
        view=state.view,
        commit=commit,
        checkpoint_op=state.checkpoint_op,
        checkpoint_id=state.checkpoint_id,
        tail=tail,
        nonce=nonce,
        replica=state.replica,
    )


def on_request_start_view(state: ReplicaState, request: RequestStartView) -> None:
    if request.view > state.view:
        note_view(state, request.view)
        return
    if not state.is_serving_primary:
        return
    if request.replica in state.others():
        state.send(request.replica, make_start_view(state, request.nonce))
    else:
        tell_not_member(state, request.replica)


def tell_not_member(state: ReplicaState, node: int) -> None:
    """Only what is committed is said: the configuration that waits may never be."""
    if state.status is Status.NORMAL and node not in state.others() and state.is_due(f"not member {node}", 10):
        state.send(node, NotMember(epoch=state.committed_configuration.epoch, replica=state.replica))


# The adoption of a view ------------------------------------------------------------------------------------------


def on_start_view(state: ReplicaState, message: StartView) -> None:
    """A view has started: its log becomes this replica's."""
    if message.view < state.view or message.replica == state.replica:
        mark("vsr.start_view_of_the_past")
        return
    configuration = _configuration_of(message.tail, state.committed_configuration)
    if configuration.primary(message.view) != message.replica:
        mark("vsr.start_view_of_another")
        return
    stays = configuration.epoch > message.commit and state.replica in state.committed_configuration.members
    if state.replica not in configuration.members and not stays:
        return
    state.peer(message.replica).heard = state.tick
    if message.view == state.view and not believes(state, message):
        return
    if is_overtaken(state, message.tail, message.commit):
        mark("vsr.start_view_overtaken")
        return
    note_commit(state, message.commit)
    peer = state.peer(message.replica)
    peer.checkpoint_op = max(peer.checkpoint_op, message.checkpoint_op)
    if message.view == state.view and state.status is Status.NORMAL:
        state.heard_view = 0
        adopt_log(state, message.tail, message.commit)
        advance_commits(state)
        ack_what_is_held(state)
        return
    leave_view(state)
    adopt_log(state, message.tail, message.commit)
    state.view = state.log_view = message.view
    state.make_durable(Step.ADOPT, encode_log(state.view, state.commit_known, message.tail))


def believes(state: ReplicaState, message: StartView) -> bool:
    """Whether the log of one's own view may be taken from this message."""
    match state.status:
        case Status.NORMAL:
            # In one view the log only grows.
            return not state.is_primary and bool(message.tail) and message.tail[-1].op > state.op
        case Status.RECOVERING_HEAD:
            # An answer to an earlier life may be older than what this replica acked since.
            return message.nonce == state.nonce
        case Status.VIEW_CHANGE:
            return not state.starting
        case _:
            return False


def follow(state: ReplicaState) -> None:
    """The log of a started view is durable: work in it as a backup or learner."""
    state.heard_configuration = None
    state.status = Status.NORMAL
    state.failures = 0
    state.heard_view = 0
    state.progress = state.tick
    state.view_start_op = state.op
    state.rhythm.start(state.tick)
    state.view_started()
    advance_commits(state)
    ack_what_is_held(state)


# Ends ------------------------------------------------------------------------------------------------------------


def on_abdicate(state: ReplicaState, _abdicate: Abdicate) -> None:
    if not state.is_serving_primary or state.is_alone:
        return
    mark("vsr.abdicated")
    state.abdicated = True
    want_next_view(state)


def on_not_member(state: ReplicaState, message: NotMember) -> None:
    """The group has gone on without this node. One that joins may only not be known yet."""
    held = state.committed_configuration
    was_member = state.replica in held.voters or (state.replica in held.learners and state.commit_number > 0)
    if message.epoch > held.epoch and was_member:
        mark("vsr.told_of_its_removal")
        state.status = Status.REMOVED
        state.removed()
