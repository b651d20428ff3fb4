"""I22: the clients' history of one group is linearizable, unknown outcomes allowed; I5: nothing acknowledged is lost.

The object is the group's log: a list that only grows, of appends that touch one or several streams at once. What
order the appends took is not searched: the log itself tells (`Entry`, in position order, read back at the end). An
order being given, a history is linearizable if and only if each append i can be given a point t_i such that

- t_1 < t_2 < ... (the log's order),
- t_i lies within the append's call: invoked_i < t_i < returned_i,
- a read that saw a stream at length h has a point within its call, after the append that took the stream to h and
  before the next append to that stream.

A read's point needs no place of its own: it exists if and only if t_a < returned_r and invoked_r < t_b, for the
append a that it saw and the next one, b, that it didn't. So every append has a lower bound (its own invocation and
those of the reads that missed it) and an upper bound (its own return and those of the reads that saw it), and the
appends can be placed if and only if the running maximum of the lower bounds never exceeds an upper bound. That is
exact, and costs O(n).

A refusal for a wrong offset that names where the stream was is a read of the stream's length. A stale read saw what the
stream was at some earlier time: what it saw had been appended before it returned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, field, frozen

from sim.history import NEVER, AppendedTo, Call, History, Outcome, StreamKey
from sim.verdict import Verdict


@frozen
class Entry:
    """One append (or part of an append: entries of one op stand together) in the group's log, in position order."""

    stream: StreamKey
    first_offset: int
    payloads: tuple[bytes, ...]


@define
class _Point:
    """Where in time an append may stand."""

    lower: int
    upper: int
    call: Call | None
    what: str


@define
class _Log:
    """The log's appends as points, and for each stream the points that lengthened it: (length after, point)."""

    points: list[_Point] = field(factory=list)
    steps: dict[StreamKey, list[tuple[int, int]]] = field(factory=dict)
    contents: dict[StreamKey, list[bytes]] = field(factory=dict)


def check_linearizable(verdict: Verdict, history: History, log: Sequence[Entry]) -> None:
    """Check all calls on the streams of one group against the group's log, as it was read at the end."""
    owners = _owners(history)
    built = _build(verdict, log, owners)
    if built is None:
        return
    streams = built.contents
    for call in history.calls:
        if call.kind == "append":
            _check_append(verdict, call, streams)
        elif call.kind in ("read", "length", "read_stale") and call.outcome is Outcome.OK:
            _bound_read(verdict, call, built)
        if call.refused_at >= 0 and call.stream is not None:
            _bound_length(call, call.stream, call.refused_at, built)
    _check_order(verdict, built.points)


def _owners(history: History) -> Mapping[bytes, tuple[Call, AppendedTo]]:
    """Who sent each payload. Payloads of the workload are unique."""
    owners: dict[bytes, tuple[Call, AppendedTo]] = {}
    for call in history.calls:
        for part in call.parts:
            for payload in part.payloads:
                assert payload not in owners, "the workload sent a payload twice"
                owners[payload] = (call, part)
    return owners


def _build(verdict: Verdict, log: Sequence[Entry], owners: Mapping[bytes, tuple[Call, AppendedTo]]) -> _Log | None:
    built = _Log()
    copies: dict[tuple[int, StreamKey], int] = {}
    previous: tuple[Call, tuple[StreamKey, ...]] | None = None
    for entry in log:
        content = built.contents.setdefault(entry.stream, [])
        if not verdict.check(
            "gap-free",
            entry.first_offset == len(content),
            f"{entry.stream}: an append at offset {entry.first_offset} follows {len(content)} events",
        ):
            return None
        owner = owners.get(entry.payloads[0]) if entry.payloads else None
        if not verdict.check(
            "I5",
            owner is not None and owner[1].stream == entry.stream and owner[1].payloads == entry.payloads,
            f"{entry.stream} offset {entry.first_offset}: holds {len(entry.payloads)} events that nobody sent so",
        ):
            return None
        assert owner is not None
        call, _part = owner
        content.extend(entry.payloads)
        copy = copies[call.invoked, entry.stream] = copies.get((call.invoked, entry.stream), 0) + 1
        if not verdict.check(
            "I19",
            copy == 1 or not call.once,
            f"{entry.stream} offset {entry.first_offset}: the append of client {call.client} ({call.outcome.value} "
            f"{call.refusal}) ran {copy} times",
        ):
            return None
        if not verdict.check(
            "I22",
            call.outcome is not Outcome.REFUSED,
            f"{entry.stream} offset {entry.first_offset}: a refused append ({call.refusal}) is in the log",
        ):
            return None
        joined = previous is not None and previous[0] is call and entry.stream not in previous[1]
        if joined and previous is not None:
            previous = (call, (*previous[1], entry.stream))
        else:
            acknowledged = any(p.first_offset == entry.first_offset and p.stream == entry.stream for p in call.parts)
            upper = call.returned if acknowledged or call.once else NEVER
            built.points.append(_Point(call.invoked, upper, call, f"append of client {call.client} to {entry.stream}"))
            previous = (call, (entry.stream,))
        built.steps.setdefault(entry.stream, []).append((len(content), len(built.points) - 1))
    return built


def _check_append(verdict: Verdict, call: Call, streams: Mapping[StreamKey, Sequence[bytes]]) -> None:
    """I5: an acknowledged append is where it was said to be, byte for byte."""
    if call.outcome is not Outcome.OK:
        return
    for part in call.parts:
        content = streams.get(part.stream, [])
        found = tuple(content[part.first_offset : part.first_offset + len(part.payloads)])
        verdict.check(
            "I5",
            part.first_offset >= 0 and found == part.payloads,
            f"{part.stream}: client {call.client} was told that {len(part.payloads)} events are at offset "
            f"{part.first_offset}; the log has {len(content)} events and others there",
        )


def _bound_read(verdict: Verdict, call: Call, built: _Log) -> None:
    assert call.stream is not None
    content = built.contents.get(call.stream, [])
    found = tuple(content[call.from_offset : call.from_offset + len(call.seen)])
    if verdict.check(
        "I22",
        found == call.seen,
        f"{call.stream}: client {call.client} read {len(call.seen)} events from offset {call.from_offset} that differ "
        f"from the log's",
    ):
        _bound_seen(call, call.stream, call.from_offset + len(call.seen), built)
        if call.head >= 0 and verdict.check(
            "I22",
            call.head in _lengths(call.stream, built),
            f"{call.stream}: client {call.client} read the head {call.head}, where no append ended",
        ):
            if call.kind == "read_stale":
                _bound_seen(call, call.stream, call.head, built)
            else:
                _bound_length(call, call.stream, call.head, built)


def _lengths(stream: StreamKey, built: _Log) -> list[int]:
    return [0, *(length for length, _ in built.steps.get(stream, []))]


def _bound_seen(call: Call, stream: StreamKey, length: int, built: _Log) -> None:
    """The call saw events up to `length`: it returned after the append that wrote the last of them."""
    before = 0
    for after, index in built.steps.get(stream, []):
        if before >= length:
            break
        point = built.points[index]
        point.upper = min(point.upper, call.returned)
        before = after


def _bound_length(call: Call, stream: StreamKey, length: int, built: _Log) -> None:
    """The call saw the stream at exactly `length`."""
    for after, index in built.steps.get(stream, []):
        point = built.points[index]
        if after <= length:
            point.upper = min(point.upper, call.returned)
        else:
            point.lower = max(point.lower, call.invoked)
            break


def _check_order(verdict: Verdict, points: Sequence[_Point]) -> None:
    latest, holder = 0, "the start"
    for point in points:
        if point.lower > latest:
            latest, holder = point.lower, point.what
        if not verdict.check(
            "I22",
            latest < point.upper,
            f"no order fits: the {point.what} was over (or read) at tick {point.upper}, but it follows the {holder}, "
            f"which can't have happened before tick {latest}",
        ):
            return
