"""How a large append is cut: nothing is lost or moved, each part fits, and there are few of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdb.errors import TooLarge
from vdb.kernel.command import ANY, EMPTY
from vdb.limits import RUNS_PER_PART_MAX, Limits
from vdb.node.preparing.cutting import APPEND_OVERHEAD, REQUEST_OVERHEAD, RUN_OVERHEAD, fit, size_bound
from vdb.node.preparing.request import CutRun, PlainAppend, PlainBatch, PlainRun, PlainTransaction
from vdb.wire.event import decode_batch, encode_batch

LIMITS = Limits(message_size_max=16 * 1024, wal_slots=32, checkpoint_interval=16, pipeline_max=2)
ROOM = LIMITS.request_size_max - REQUEST_OVERHEAD


def run_of(sizes: list[int], subject: str = "", *, ids: bool = False) -> PlainRun:
    payloads = [index.to_bytes(2, "big") + bytes(size) for index, size in enumerate(sizes)]
    event_ids = b"".join(bytes([index % 256]) * 16 for index in range(len(sizes))) if ids else b""
    return PlainRun(
        subject=subject, count=len(sizes), batch=encode_batch(payloads), event_ids=event_ids, schema_id=len(sizes)
    )


def batch_of(*runs: list[PlainRun]) -> PlainBatch:
    appends = tuple(PlainAppend(stream=f"s{index}", runs=tuple(each)) for index, each in enumerate(runs))
    return PlainBatch(tenant=1, appends=appends)


def plain(run: PlainRun | CutRun) -> PlainRun:
    return run.plain() if isinstance(run, CutRun) else run


def events(runs: list[PlainRun]) -> list[tuple[str, int, bytes, bytes]]:
    """(subject, schema, id, payload) of each event."""
    found = []
    for run in runs:
        for index, payload in enumerate(decode_batch(run.batch)):
            found.append((run.subject, run.schema_id, run.event_ids[16 * index : 16 * index + 16], payload))
    return found


SIZES = st.lists(st.sampled_from([0, 1, 7, 300, 2000, 7000, 11000]), min_size=1, max_size=12)
RUNS = st.lists(st.tuples(SIZES, st.sampled_from(["", "p-1"]), st.booleans()), max_size=3)


@settings(max_examples=150)
@given(st.lists(RUNS, min_size=1, max_size=3))
def test_parts_together_are_the_append_and_each_fits(specs: list[list[tuple[list[int], str, bool]]]) -> None:
    runs = [[run_of(sizes, subject, ids=ids) for sizes, subject, ids in each] for each in specs]
    request = batch_of(*runs)
    try:
        cut = fit(request, LIMITS)
    except TooLarge:
        assert size_bound(request) > LIMITS.transaction_size_max
        return
    if size_bound(request) <= LIMITS.request_size_max:
        assert cut is request
        return
    assert isinstance(cut, PlainTransaction)
    assert size_bound(cut) == size_bound(request)
    assert len(cut.parts) <= LIMITS.transaction_parts_max
    assert [(one.stream, one.expected, one.count) for one in cut.targets] == [
        (append.stream, append.expected, append.count) for append in request.appends
    ]
    joined: list[list[PlainRun]] = [[] for _ in runs]
    places = []
    for part in cut.parts:
        size = REQUEST_OVERHEAD
        for piece in part:
            places.append(piece.append)
            size += APPEND_OVERHEAD
            for run in map(plain, piece.runs):
                joined[piece.append].append(run)
                size += RUN_OVERHEAD + len(run.batch) + len(run.event_ids)
        assert part
        assert size <= LIMITS.request_size_max
    assert places == sorted(places)
    assert list(dict.fromkeys(places)) == list(range(len(runs)))
    assert list(map(events, joined)) == list(map(events, runs))


def test_a_condition_without_events_travels_too() -> None:
    request = PlainBatch(
        tenant=1,
        appends=(
            PlainAppend(stream="a", expected=EMPTY),
            PlainAppend(stream="b", expected=ANY, runs=(run_of([8000, 8000]),)),
        ),
    )
    cut = fit(request, LIMITS)
    assert [[(piece.append, len(piece.runs)) for piece in part] for part in cut.parts] == [[(0, 0), (1, 1)], [(1, 1)]]


def test_what_cannot_be_cut_says_what_would_fit() -> None:
    room = ROOM - APPEND_OVERHEAD
    most = room - RUN_OVERHEAD - 128 - 16
    fitting = most // 8 * 8 - 2
    assert isinstance(fit(batch_of([run_of([fitting, 300])]), LIMITS), PlainTransaction)
    with pytest.raises(TooLarge, match=rf"an event takes up to 119\d\d bytes .*: expected at most {room},"):
        fit(batch_of([run_of([most + 8, 300])]), LIMITS)


def test_a_transaction_of_no_size_is_none() -> None:
    limits = Limits(message_size_max=16 * 1024, wal_slots=32, checkpoint_interval=16, transaction_size_max=0)
    assert isinstance(fit(batch_of([run_of([8000])]), limits), PlainBatch)
    with pytest.raises(TooLarge, match=f"expected at most {limits.request_size_max}, split it"):
        fit(batch_of([run_of([8000, 8000])]), limits)


def test_an_append_of_many_runs_is_cut_by_their_number() -> None:
    run = PlainRun(count=1, batch=encode_batch([b"x"]))
    cut = fit(batch_of([run] * (2 * RUNS_PER_PART_MAX + 1)), Limits())
    assert isinstance(cut, PlainTransaction)
    assert [sum(len(piece.runs) for piece in part) for part in cut.parts] == [RUNS_PER_PART_MAX, RUNS_PER_PART_MAX, 1]
