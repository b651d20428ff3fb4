"""The linearizability checker accepts what it should and rejects bad histories, as a search over all orders does."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from sim.checkers.linearizable import Entry, check_linearizable
from sim.history import NEVER, AppendedTo, Call, History, Outcome, StreamKey
from sim.verdict import Verdict

NOTES = StreamKey(1, "eu-west-1", "notes")
VISITS = StreamKey(1, "eu-west-1", "visits")


def append(*payloads: bytes, at: int = -1, invoked: int, returned: int = NEVER, stream: StreamKey = NOTES,
           outcome: Outcome | None = None, once: bool = True) -> Call:  # fmt: skip
    if outcome is None:
        outcome = Outcome.OK if at >= 0 else Outcome.UNKNOWN
    return Call(client=0, kind="append", invoked=invoked, returned=returned, outcome=outcome, once=once,
                parts=(AppendedTo(stream, payloads, at),))  # fmt: skip


def read(
    *payloads: bytes, start: int = 0, invoked: int, returned: int, head: int = -1, stream: StreamKey = NOTES
) -> Call:
    return Call(client=1, kind="read", invoked=invoked, returned=returned, outcome=Outcome.OK, stream=stream,
                from_offset=start, seen=payloads, head=head)  # fmt: skip


def verdict_on(calls: Sequence[Call], log: Sequence[Entry]) -> Verdict:
    verdict = Verdict()
    check_linearizable(verdict, History(calls=list(calls)), log)
    return verdict


def broken(calls: Sequence[Call], log: Sequence[Entry]) -> str:
    violation = verdict_on(calls, log).violation
    return violation.invariant if violation else ""


def test_sequential_history_holds() -> None:
    calls = [
        append(b"a", at=0, invoked=1, returned=2),
        read(b"a", head=1, invoked=3, returned=4),
        append(b"b", b"c", at=1, invoked=5, returned=6),
        read(b"b", b"c", start=1, head=3, invoked=7, returned=8),
    ]
    assert verdict_on(calls, [Entry(NOTES, 0, (b"a",)), Entry(NOTES, 1, (b"b", b"c"))]).ok


def test_acknowledged_append_that_is_missing_is_found() -> None:
    assert broken([append(b"a", at=0, invoked=1, returned=2)], []) == "I5"


def test_unknown_append_may_be_there_or_not() -> None:
    calls = [append(b"a", invoked=1)]
    assert not broken(calls, [])
    assert not broken(calls, [Entry(NOTES, 0, (b"a",))])


def test_refused_append_that_took_effect_is_found() -> None:
    calls = [append(b"a", invoked=1, returned=2, outcome=Outcome.REFUSED)]
    assert broken(calls, [Entry(NOTES, 0, (b"a",))]) == "I22"


def test_stale_read_is_found() -> None:
    calls = [append(b"a", at=0, invoked=1, returned=2), read(head=0, invoked=3, returned=4)]
    assert broken(calls, [Entry(NOTES, 0, (b"a",))]) == "I22"


def test_read_from_the_future_is_found() -> None:
    calls = [read(b"a", head=1, invoked=1, returned=2), append(b"a", at=0, invoked=3, returned=4)]
    assert broken(calls, [Entry(NOTES, 0, (b"a",))]) == "I22"


def test_order_against_real_time_is_found() -> None:
    calls = [append(b"a", at=1, invoked=1, returned=2), append(b"b", at=0, invoked=3, returned=4)]
    assert broken(calls, [Entry(NOTES, 0, (b"b",)), Entry(NOTES, 1, (b"a",))]) == "I22"


def test_order_against_real_time_across_streams_is_found() -> None:
    calls = [
        append(b"a", at=0, invoked=1, returned=2),
        append(b"b", at=0, invoked=3, returned=4, stream=VISITS),
    ]
    assert broken(calls, [Entry(VISITS, 0, (b"b",)), Entry(NOTES, 0, (b"a",))]) == "I22"


def test_payload_that_ran_twice_is_found_unless_it_was_sent_without_a_session() -> None:
    log = [Entry(NOTES, 0, (b"a",)), Entry(NOTES, 1, (b"a",))]
    assert broken([append(b"a", at=0, invoked=1, returned=2)], log) == "I19"
    assert not broken([append(b"a", at=1, invoked=1, returned=2, once=False)], log)


def test_event_that_nobody_sent_is_found() -> None:
    assert broken([], [Entry(NOTES, 0, (b"?",))]) == "I5"


def test_hole_is_found() -> None:
    assert broken([append(b"a", invoked=1)], [Entry(NOTES, 1, (b"a",))]) == "gap-free"


def test_refusal_that_names_an_impossible_length_is_found() -> None:
    refused = Call(client=1, kind="append", invoked=3, returned=4, outcome=Outcome.REFUSED, stream=NOTES, refused_at=0)
    assert broken([append(b"a", at=0, invoked=1, returned=2), refused], [Entry(NOTES, 0, (b"a",))]) == "I22"


def _legal(order: Sequence[Call], log: Sequence[Entry]) -> bool:
    for index, later in enumerate(order):
        if any(other.returned < earlier.invoked for earlier in order[:index] for other in (later,)):
            return False
    content: list[bytes] = []
    appended = [entry.payloads[0] for entry in log]
    done: list[bytes] = []
    for call in order:
        if call.kind == "append":
            payload = call.parts[0].payloads[0]
            if payload in appended:
                content.append(payload)
                done.append(payload)
        elif tuple(content[call.from_offset :]) != call.seen or call.head != len(content):
            return False
    return done == appended


@st.composite
def small_histories(draw: st.DrawFn) -> tuple[list[Call], list[Entry]]:
    count = draw(st.integers(1, 5))
    ticks = draw(st.permutations(range(1, 2 * count + 1)))
    order = draw(st.permutations(range(count)))
    calls: list[Call] = []
    log: list[Entry] = []
    kinds = [draw(st.sampled_from(["append", "unknown", "read"])) for _ in range(count)]
    contents: list[bytes] = []
    spans = [tuple(sorted((ticks[2 * number], ticks[2 * number + 1]))) for number in range(count)]
    for number in order:
        invoked, returned = spans[number]
        payload = b"%d" % number
        if kinds[number] == "read":
            upto = draw(st.integers(0, len(contents))) if draw(st.booleans()) else len(contents)
            calls.append(read(*contents[:upto], head=upto, invoked=invoked, returned=returned))
        elif kinds[number] == "unknown" and draw(st.booleans()):
            calls.append(append(payload, invoked=invoked))
        else:
            known = kinds[number] == "append"
            log.append(Entry(NOTES, len(contents), (payload,)))
            calls.append(
                append(
                    payload, at=len(contents) if known else -1, invoked=invoked, returned=returned if known else NEVER
                )
            )
            contents.append(payload)
    return calls, log


@given(small_histories())
def test_verdict_equals_a_search_over_all_orders(history: tuple[list[Call], list[Entry]]) -> None:
    calls, log = history
    expected = any(_legal(order, log) for order in permutations(calls))
    assert verdict_on(calls, log).ok == expected
