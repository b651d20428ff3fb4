"""Planted bugs of consumer groups: what is handed out, when it comes again, and whose answer counts."""

from __future__ import annotations

from typing import Any

import attrs

from sim.bugs.patch import Bug, Replacement

_CONSUMERS = {
    "sql": False, "events": True, "events_deeds": 80, "requests": 40, "clients": 2, "tenants": 1, "nodes": 1,
    "spares": 0, "harmed": [], "dead_at_the_end": False, "disturbances": ["crash", "crash"], "beyond_repair": False,
    "projection": False, "consumers": 3, "consumer_members": 2, "consumer_faults": 0.4, "consumer_ack_us": 100_000,
    "events_mix": {"append": 4},
}  # fmt: skip
"""One node; clients append, and members of three consumers err now and then."""


_SLOW = {**_CONSUMERS, "consumer_faults": 0.8, "consumer_ack_us": 50_000}


def cursor_passes_what_found_no_room() -> tuple[Replacement, ...]:
    from vdb.kernel import consumers
    from vdb.node.consumers import consumer_fetching, consumer_preparer

    def make(choose: Any) -> Any:
        def choose_and_pass(*details: Any) -> Any:
            choice, scanned_to = choose(*details), details[-2]
            passed = attrs.evolve(choice.work, cursor=max(choice.work.cursor, scanned_to))
            return choice._replace(work=passed)

        return choose_and_pass

    return tuple(Replacement(module, "choose", make) for module in (consumers, consumer_fetching, consumer_preparer))


def taken_back_at_half_time() -> tuple[Replacement, ...]:
    from vdb.kernel import consumer_rules

    def make(take_back: Any) -> Any:
        return lambda terms, entries, now: take_back(terms, entries, now + terms.ack_us // 2)

    return (Replacement(consumer_rules, "_take_back", make),)


def order_of_keys_forgotten() -> tuple[Replacement, ...]:
    from vdb.kernel import consumers

    def make(choose: Any) -> Any:
        return lambda terms, *others: choose(attrs.evolve(terms, ordered_by=0), *others)

    return (Replacement(consumers, "choose", make),)


def one_delivery_too_many() -> tuple[Replacement, ...]:
    from vdb.kernel import consumer_rules, consumers

    def make(fail: Any) -> Any:
        def fail_later(terms: Any, entry: Any, now: Any, *, due: Any) -> Any:
            most = terms.max_deliver and terms.max_deliver + 1
            return fail(attrs.evolve(terms, max_deliver=most), entry, now, due=due)

        return fail_later

    return (Replacement(consumer_rules, "fail", make), Replacement(consumers, "fail", make))


def answer_counts_in_any_attempt() -> tuple[Replacement, ...]:
    from vdb.kernel import consumers
    from vdb.kernel.consumer_rows import unpack_work
    from vdb.kernel.reply import ConsumerSettled
    from vdb.kernel.tables import CONSUMER_WORK, consumer_key

    def make(settle: Any) -> Any:
        def settle_for_whoever_has_it(draft: Any, command: Any) -> Any:
            row = draft.rows[CONSUMER_WORK].get(consumer_key(command.tenant, command.lookup))
            held = {} if row is None else {entry[0]: entry for entry in unpack_work(row).entries}
            late: list[int] = []
            for one in command.settlements:
                _, _, attempt, holder, _ = held.get(one.position, (0, 0, one.attempt, command.member, 0))
                answer = attrs.evolve(one, attempt=attempt)
                reply = settle(
                    draft, attrs.evolve(command, member=holder or command.member, settlements=(answer,))
                )  # fmt: skip
                if not isinstance(reply, ConsumerSettled):
                    return reply
                late += reply.late
            return ConsumerSettled(tuple(late))

        return settle_for_whoever_has_it

    return (Replacement(consumers, "_settle", make),)


def delay_of_a_nak_forgotten() -> tuple[Replacement, ...]:
    from vdb.kernel import consumers
    from vdb.kernel.consumer_command import Verdict

    def make(answer: Any) -> Any:
        def answer_at_once(terms: Any, lookup: Any, entry: Any, one: Any, now: Any) -> Any:
            soon = attrs.evolve(one, amount=0) if one.verdict is Verdict.NAK else one
            return answer(terms, lookup, entry, soon, now)

        return answer_at_once

    return (Replacement(consumers, "_answer", make),)


CONSUMER_BUGS: tuple[Bug, ...] = (
    Bug(id="c1", what="the cursor passes events that found no room", expected=("C7",),
        replacements=cursor_passes_what_found_no_room, overrides=_CONSUMERS),
    Bug(id="c2", what="a delivery is taken back at half of its time", expected=("C2", "C4"),
        replacements=taken_back_at_half_time, overrides=_CONSUMERS),
    Bug(id="c3", what="an ordered group hands out several events of a key", expected=("C5",),
        replacements=order_of_keys_forgotten, overrides=_CONSUMERS),
    Bug(id="c4", what="an event is delivered once more than it may be", expected=("C3", "C8"),
        replacements=one_delivery_too_many, overrides=_CONSUMERS),
    Bug(id="c5", what="an answer counts though the event has been delivered to another since", expected=("C6", "C4"),
        replacements=answer_counts_in_any_attempt, overrides=_SLOW),
    Bug(id="c6", what="the delay of a nak is forgotten", expected=("C2",),
        replacements=delay_of_a_nak_forgotten, overrides=_CONSUMERS),
)  # fmt: skip
