"""Readers that follow, step by step between appends: each has taken exactly what its filter fits, in order, at any
moment. Events that are appended again under their ids don't come again."""

from __future__ import annotations

from typing import Any

from attrs import define, field, frozen
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

import vdb
from vdb.limits import Limits

SMALL = Limits(
    message_size_max=32 * 1024, wal_slots=96, checkpoint_interval=16, segment_size=16384, read_bytes_max=4096
)
STREAMS = ("a-1", "a-2", "b")


@vdb.event("machine-test-even")
@frozen
class Even:
    number: int
    padding: str = ""


@vdb.event("machine-test-odd")
@frozen
class Odd:
    number: int


@define
class Reader:
    """A follower, and how much of what it should see it has taken."""

    events: Any
    stream: str | None
    prefixes: tuple[str, ...]
    kind: type[Any] | None
    first: int
    """The number of the event that it began at."""
    taken: list[int] = field(factory=list)

    def fits(self, stream: str, event: Any) -> bool:
        return (
            (self.stream is None or stream == self.stream)
            and (not self.prefixes or stream.startswith(self.prefixes))
            and (self.kind is None or isinstance(event, self.kind))
        )


class Following(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.database = vdb.open(":memory:", limits=SMALL)
        for stream in STREAMS:
            self.database.create_stream(stream)
        self.log: list[tuple[str, Any, vdb.Published]] = []
        self.readers: list[Reader] = []
        self.last: tuple[str, list[vdb.NewEvent], vdb.Published] | None = None

    def teardown(self) -> None:
        if hasattr(self, "database"):
            for reader in self.readers:
                self.catch_up(reader)
            self.database.close()

    @rule(stream=st.sampled_from(STREAMS), count=st.sampled_from([1, 1, 3, 40]), size=st.sampled_from([0, 0, 900]))
    def append(self, stream: str, count: int, size: int) -> None:
        events: list[Any] = []
        for number in range(len(self.log), len(self.log) + count):
            events.append(Odd(number) if number % 2 else Even(number, "x" * size))
        new = [vdb.NewEvent(event, event_id=event.number.to_bytes(16, "big")) for event in events]
        published = self.database.append(stream, new)
        self.log += [(stream, event, published) for event in events]
        self.last = (stream, new, published)

    @rule()
    def append_again(self) -> None:
        if self.last is not None:
            stream, new, published = self.last
            assert self.database.append(stream, new) == published

    @rule(
        stream=st.none() | st.sampled_from(STREAMS),
        prefixes=st.sampled_from([(), ("a",), ("a-2", "b")]),
        kind=st.sampled_from([None, None, Even, Odd]),
        from_here=st.booleans(),
    )
    def follow(self, stream: str | None, prefixes: tuple[str, ...], kind: type[Any] | None, from_here: bool) -> None:
        place: dict[str, Any] = {}
        if from_here and self.log:
            place["from_position"] = self.log[-1][2].position
        events = self.database.read_events(
            stream, prefixes=prefixes, types=() if kind is None else kind, follow=True, **place
        )
        self.readers.append(Reader(events, stream, prefixes, kind, len(self.log) if place else 0))

    def expected(self, reader: Reader) -> list[int]:
        found = [event.number for stream, event, _ in self.log[reader.first :] if reader.fits(stream, event)]
        assert reader.taken == found[: len(reader.taken)]
        return found[len(reader.taken) :]

    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        ready = [reader for reader in self.readers if self.expected(reader)]
        if ready:
            reader = data.draw(st.sampled_from(ready))
            for _ in range(data.draw(st.integers(1, len(self.expected(reader))))):
                reader.taken.append(next(reader.events).event.number)

    @rule(data=st.data())
    def catch_up_one(self, data: st.DataObject) -> None:
        if self.readers:
            self.catch_up(data.draw(st.sampled_from(self.readers)))

    def catch_up(self, reader: Reader) -> None:
        while self.expected(reader):
            reader.taken += [one.event.number for one in reader.events.next_batch()]
        assert not self.expected(reader)


TestFollowing = Following.TestCase
TestFollowing.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
