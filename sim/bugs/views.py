"""Planted bugs of the protocol that need other replicas: acks, votes, the choice of a log, repair.

They patch the pure replica, so they can be planted in whole clusters and in groups of pure replicas alike.
"""

from __future__ import annotations

from typing import Any

import attrs

from sim.bugs.patch import Bug, Replacement


def one_ack_too_few() -> tuple[Replacement, ...]:
    from vdb.vsr import normal

    def make(_has_quorum: Any) -> Any:
        def almost(state: Any, header: Any) -> bool:
            quorums = header.configuration.quorums
            return bool(len(state.acks.get(header.op, {})) >= max(1, quorums.replication - 1))

        return almost

    return (Replacement(normal, "has_quorum", make),)


def duplicate_acks_count() -> tuple[Replacement, ...]:
    from vdb.vsr import normal

    def make_count(_count: Any) -> Any:
        def count_all(state: Any, ok: Any) -> None:
            acks = state.acks.setdefault(ok.op, {})
            acks[len(acks)] = None

        return count_all

    def make_quorum(_has_quorum: Any) -> Any:
        def enough(state: Any, header: Any) -> bool:
            return bool(len(state.acks.get(header.op, {})) >= header.configuration.quorums.replication)

        return enough

    return (Replacement(normal, "count_ack", make_count), Replacement(normal, "has_quorum", make_quorum))


def ack_of_any_prepare() -> tuple[Replacement, ...]:
    from vdb.vsr import normal, table
    from vdb.vsr.message import PrepareOk
    from vdb.vsr.state import Status

    def on_prepare_ok(state: Any, ok: Any) -> None:
        if state.is_primary and ok.op > state.commit_number:
            normal.count_ack(state, ok)
            normal.commit_what_has_a_quorum(state)

    def make(old: Any) -> Any:
        return {**old, (Status.NORMAL, PrepareOk): on_prepare_ok}

    from vdb.vsr import replica

    return (Replacement(table, "TABLE", make), Replacement(replica, "TABLE", make))


def acks_survive_views() -> tuple[Replacement, ...]:
    from vdb.vsr import view_change

    return (Replacement(view_change, "forget_acks", lambda _old: lambda state: None),)


def one_vote_too_few() -> tuple[Replacement, ...]:
    from vdb.vsr import choice

    return (Replacement(choice, "count", lambda count: lambda configuration, nodes: count(configuration, nodes) + 1),)


def _head(vote: Any) -> int:
    return vote.tail[-1].op if vote.tail else 0


def highest_op_wins() -> tuple[Replacement, ...]:
    from vdb.vsr import view_change

    def make(choose: Any) -> Any:
        def choose_longest(votes: Any, committed: Any) -> Any:
            longest = max(votes.values(), key=_head)
            shown = {
                node: attrs.evolve(vote, log_view=vote.view - (1 if vote is longest else 2))
                for node, vote in votes.items()
            }
            return choose(shown, committed)

        return choose_longest

    return (Replacement(view_change, "choose", make),)


def vote_before_view_is_durable() -> tuple[Replacement, ...]:
    from vdb.vsr import view_change
    from vdb.vsr.state import ReplicaState, Step

    def make(make_durable: Any) -> Any:
        def skip_votes(self: Any, step: Any, tail: bytes) -> None:
            if step is Step.VOTE:
                view_change.send_vote(self)
            else:
                make_durable(self, step, tail)

        return skip_votes

    return (Replacement(ReplicaState, "make_durable", make),)


def ack_before_log_view_is_durable() -> tuple[Replacement, ...]:
    from vdb.vsr import view_change
    from vdb.vsr.state import ReplicaState, Step

    def make(make_durable: Any) -> Any:
        def skip_adoption(self: Any, step: Any, tail: bytes) -> None:
            if step is Step.ADOPT:
                view_change.follow(self)
            else:
                make_durable(self, step, tail)

        return skip_adoption

    return (Replacement(ReplicaState, "make_durable", make),)


def ack_the_old_primary() -> tuple[Replacement, ...]:
    from vdb.vsr import normal
    from vdb.vsr.message import PrepareOk
    from vdb.vsr.state import Status

    def make(send: Any) -> Any:
        def ack_anyway(state: Any, header: Any) -> None:
            if state.status is not Status.VIEW_CHANGE:
                send(state, header)
            elif state.log.is_held(header.op):
                ok = PrepareOk(view=state.log_view, op=header.op, checksum=header.checksum, replica=state.replica)
                state.send(state.configuration.primary(state.log_view), ok)

        return ack_anyway

    return (Replacement(normal, "send_prepare_ok", make),)


def nack_faulty_slots() -> tuple[Replacement, ...]:
    from vdb.vsr.log import Log

    def make(was_never_acked: Any) -> Any:
        return lambda self, op: self.is_faulty(op) or was_never_acked(self, op)

    return (Replacement(Log, "was_never_acked", make),)


def cut_below_commit() -> tuple[Replacement, ...]:
    from vdb.vsr import view_change
    from vdb.vsr.choice import Choice

    def make(choose: Any) -> Any:
        def cut_one_more(votes: Any, committed: Any) -> Any:
            choice = choose(votes, committed)
            if isinstance(choice, Choice) and len(choice.tail) > 1:
                return attrs.evolve(choice, tail=choice.tail[:-1], commit=min(choice.commit, choice.tail[-2].op))
            return choice

        return cut_one_more

    return (Replacement(view_change, "choose", make),)


def repair_moves_the_head() -> tuple[Replacement, ...]:
    from vdb.vsr import repair, replica, table
    from vdb.vsr.message import Headers, RequestHeaders
    from vdb.vsr.state import Status

    def on_headers(state: Any, message: Any) -> None:
        for header in message.headers:
            if header.op == state.op + 1 and header.parent == state.log.head_checksum:
                state.log.append(header)
        repair.on_headers(state, message)

    def make_request(request: Any) -> Any:
        def ask_above(state: Any, others: Any) -> None:
            target = others[state.random(len(others))]
            message = RequestHeaders(first=state.op + 1, last=state.op + 4, replica=state.replica)
            state.send(target, message)
            request(state, others)

        return ask_above

    def make(old: Any) -> Any:
        return {**old, (Status.NORMAL, Headers): on_headers, (Status.VIEW_CHANGE, Headers): on_headers}

    return (
        Replacement(repair, "request_headers", make_request),
        Replacement(table, "TABLE", make),
        Replacement(replica, "TABLE", make),
    )


def headers_needn_t_chain() -> tuple[Replacement, ...]:
    from vdb.vsr import repair
    from vdb.vsr.log import Log

    def believe(state: Any, op: int, _checksum: bytes) -> bool:
        return state.commit_number < op < state.op and state.log.header(op) is None

    def put(self: Any, header: Any) -> None:
        self._headers[header.op] = header

    return (
        Replacement(repair, "is_believed", lambda _old: believe),
        Replacement(Log, "put_header", lambda _old: put),
    )


def local_reads() -> tuple[Replacement, ...]:
    from vdb.vsr import normal

    return (Replacement(normal, "is_round_answered", lambda _old: lambda state, needed: True),)


def earlier_answers_prove() -> tuple[Replacement, ...]:
    from vdb.vsr import normal

    def make(is_round_answered: Any) -> Any:
        return lambda state, needed: is_round_answered(state, needed - 1)

    return (Replacement(normal, "is_round_answered", make),)


def reads_join_a_proof() -> tuple[Replacement, ...]:
    from vdb.node.replication.confirming import Confirmer

    def make(confirm: Any) -> Any:
        async def join(self: Any) -> None:
            if self._asked is None:
                await confirm(self)
                return
            proof = self._asked
            await proof.done.wait()
            if proof.error is not None:
                raise proof.error

        return join

    return (Replacement(Confirmer, "confirm", make),)


def wishes_never_expire() -> tuple[Replacement, ...]:
    from vdb.vsr import view_change

    return (Replacement(view_change, "is_fresh", lambda _old: lambda state, wish: True),)


def an_earlier_lifes_answer() -> tuple[Replacement, ...]:
    from vdb.vsr import view_change
    from vdb.vsr.state import Status

    def make(believes: Any) -> Any:
        return lambda state, message: state.status is Status.RECOVERING_HEAD or believes(state, message)

    return (Replacement(view_change, "believes", make),)


def no_repair_when_idle() -> tuple[Replacement, ...]:
    from vdb.vsr import ticks

    def make(repair_if_allowed: Any) -> Any:
        def only_when_busy(state: Any) -> None:
            if state.op > state.commit_known:
                repair_if_allowed(state)

        return only_when_busy

    return (Replacement(ticks, "repair_if_allowed", make),)


_VIEWS_FOLLOW_EACH_OTHER = {
    "nodes": 2, "spares": 0, "regions": 1, "harmed": [], "dead_at_the_end": False, "beyond_repair": False,
    "sql": False, "events": False, "governance": False, "erasing": False, "rotating": False, "projection": False,
    "requests": 120, "clients": 4, "in_flight": 4, "mix": {"append": 8, "read": 1}, "tick_us": 2_000, "rare": 0.2,
    "timing": {"heartbeat": 2, "ping": 8, "suspicion_min": 8, "suspicion_max": 30, "view_change": 20,
               "vote_expiry": 15, "step_down": 30},
    "network": {"latency_us": 1_000, "jitter_us": 2_000},
    "disturbances": ["clog", "deaf_primary", "clog", "pause"] * 2,
}  # fmt: skip
"""Hasty primaries with much under way, and slow links: a view ends before its prepares have their acks."""

_LEFT_BEHIND = {
    **_VIEWS_FOLLOW_EACH_OTHER, "nodes": 3, "global_nodes": 0, "witnesses": 0,
    "disturbances": ["clog", "deaf_primary", "isolate", "pause", "deaf_primary", "clog", "isolate", "partition"],
}  # fmt: skip
"""Primaries that nobody hears go on proposing, and come back where shorter logs of newer views are."""

_UNSTEADY_WORDS = {**_LEFT_BEHIND, "rare": 0.0, "words_lost": 0.05, "words_again": 0.2}
"""And single messages are lost, or come late."""

_HEAD_ROTS = {
    **{name: value for name, value in _LEFT_BEHIND.items() if name not in ("timing", "network", "rare")},
    "harmed": [0], "tick_us": 10_000, "disturbances": ["head_rot"] * 8,
}  # fmt: skip
"""What was acked a moment ago rots, and the machine votes as soon as it is back."""

_ANSWERS_OF_OLD = {
    **_HEAD_ROTS, "words_lost": 0.03, "words_again": 0.3,
    "disturbances": ["head_rot", "deaf_primary", "head_rot", "isolate", "head_rot", "head_rot"],
}  # fmt: skip
"""Who can't know its head asks, and hears what it was told in another life."""

VIEW_BUGS: tuple[Bug, ...] = (
    Bug(id="2", what="commit with one ack too few", expected=("I18", "I7", "I5"), replacements=one_ack_too_few),
    Bug(id="3", what="duplicate acks of one replica count", expected=("I7", "I18"), replacements=duplicate_acks_count),
    Bug(id="4", what="acks count whatever prepare they are for", expected=("I7", "I1", "I18"),
        replacements=ack_of_any_prepare),
    Bug(id="5", what="ack sets survive view changes", expected=("I7", "I18", "I1"), replacements=acks_survive_views,
        overrides=_VIEWS_FOLLOW_EACH_OTHER),
    Bug(id="6", what="one vote too few starts a view", expected=("I1", "I5", "I14", "I8", "I7"),
        replacements=one_vote_too_few),
    Bug(id="7", what="the log with the highest op is chosen", expected=("I14", "I1", "I5", "I13", "I7"),
        replacements=highest_op_wins, overrides=_LEFT_BEHIND),
    Bug(id="8", what="votes leave before the view is durable", expected=("I11", "I12", "I9"),
        replacements=vote_before_view_is_durable),
    Bug(id="9", what="acks leave before log_view is durable", expected=("I11", "I6", "I33"),
        replacements=ack_before_log_view_is_durable),
    Bug(id="10", what="the old primary is acked after a vote", expected=("I9",), replacements=ack_the_old_primary),
    Bug(id="11", what="faulty slots are nacked", expected=("I15", "I5", "I1"), replacements=nack_faulty_slots,
        overrides=_HEAD_ROTS),
    Bug(id="12", what="the log is cut at or below the commit number", expected=("I14", "I1", "I5", "I6", "assertion"),
        replacements=cut_below_commit),
    Bug(id="14", what="repair may move the head", expected=("I17", "I1"), replacements=repair_moves_the_head),
    Bug(id="15", what="repaired headers needn't chain", expected=("I17", "I3", "I1", "assertion"),
        replacements=headers_needn_t_chain, overrides=_UNSTEADY_WORDS),
    Bug(id="21", what="the primary serves linearizable reads alone", expected=("I30", "I22"), replacements=local_reads),
    Bug(id="24", what="wishes for a view never expire", expected=("I37",), replacements=wishes_never_expire),
    Bug(id="25", what="no repair while the group is idle", expected=("I36", "I38"), replacements=no_repair_when_idle),
    Bug(id="31", what="answers to earlier heartbeats prove that a read may go on", expected=("I30",),
        replacements=earlier_answers_prove),
    Bug(id="32", what="a read joins a proof that is under way", expected=("I30",), replacements=reads_join_a_proof),
    Bug(id="33", what="who is unsure of its head believes what an earlier life was told", expected=("I14", "I6", "I1"),
        replacements=an_earlier_lifes_answer, overrides=_ANSWERS_OF_OLD),
)  # fmt: skip
