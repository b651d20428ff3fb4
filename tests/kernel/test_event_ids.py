"""Appends that come again, known by the ids of their events."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, evolve, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from vdb.crypto.record import decode_record, encode_record
from vdb.errors import RefusalCode
from vdb.kernel.command import ANY, EMPTY, EXISTS, KnownAppend, KnownPiece, Origin
from vdb.kernel.effect import AppendRecord
from vdb.kernel.event_ids import ENTRY, remembered
from vdb.kernel.reply import Appended, AppendedStream, Refusal
from vdb.kernel.state import State
from vdb.kernel.tables import EVENT_IDS


def ids(*numbers: int) -> list[bytes]:
    return [number.to_bytes(16, "big") for number in numbers]


def with_ids(record: bytes, event_ids: bytes) -> bytes:
    sealed = decode_record(record)
    return encode_record(bytes(sealed.header_bytes), bytes(event_ids), bytes(sealed.body))


@pytest.fixture
def notes(primary) -> int:
    return primary.create(1, "notes")


def send(primary, *appends) -> Any:
    return primary.apply(primary.append_with_ids(1, appends))


def test_an_append_that_comes_again_is_answered_as_the_first_time(primary, notes) -> None:
    _, first = send(primary, (notes, EMPTY, [ids(1, 2), ids(3)]))
    send(primary, (notes, ANY, [ids(4)]))
    before = primary.state
    effects, again = send(primary, (notes, EMPTY, [ids(1), ids(2, 3)]))
    assert (effects, again) == ((), first)
    assert (primary.state.rows, primary.state.next_position) == (before.rows, before.next_position)


def test_over_several_streams_and_conditions(primary, notes) -> None:
    labs, closed = primary.create(1, "labs"), primary.create(1, "closed")
    appends = ((labs, EMPTY, [ids(1)]), (closed, EMPTY, []), (notes, ANY, [ids(1, 2)]))
    _, first = send(primary, *appends)
    assert isinstance(first, Appended)
    send(primary, (closed, ANY, [2]))
    _, again = send(primary, *appends)
    assert again == evolve(first, streams=(first.streams[0], AppendedStream(closed, 2, 2), first.streams[2]))
    # In another order it isn't the append that was.
    _, turned = send(primary, *appends[::-1])
    assert isinstance(turned, Refusal)


def test_a_part_of_an_earlier_append_is_told_where_it_is(primary, notes) -> None:
    _, first = send(primary, (notes, ANY, [ids(1, 2, 3)]))
    _, again = send(primary, (notes, ANY, [ids(2, 3)]))
    assert again == evolve(first, streams=(AppendedStream(notes, 1, 3),), first_position=first.first_position + 1)


@pytest.mark.parametrize(
    "runs",
    [
        [ids(1, 9)],
        [ids(9, 1)],
        [ids(2, 1)],
        [ids(1, 3)],
        [ids(2, 3)],
        [ids(1), 1],
        [ids(1, 2, 9)],
    ],
    ids=["one is new", "the first is new", "another order", "a gap", "of two appends", "one has no id", "one too many"],
)
def test_some_ids_but_not_all(primary, notes, runs) -> None:
    send(primary, (notes, ANY, [ids(1, 2)]))
    send(primary, (notes, ANY, [ids(3)]))
    effects, reply = send(primary, (notes, EMPTY, runs))
    assert (effects, reply.code) == ((), RefusalCode.EVENT_ID_TAKEN)
    assert f"new, or those of one append as it was; stream {notes} has one of them at offset" in reply.message


def test_ids_are_a_streams_own(primary, notes) -> None:
    labs = primary.create(1, "labs")
    send(primary, (notes, ANY, [ids(1)]))
    effects, reply = send(primary, (labs, ANY, [ids(1)]))
    assert len(effects) == 2
    assert isinstance(reply, Appended)
    effects, reply = send(primary, (labs, ANY, [ids(2)]), (notes, ANY, [ids(1)]))
    assert (effects, reply.code) == ((), RefusalCode.EVENT_ID_TAKEN)


def test_an_id_that_stands_across_two_entries_isnt_one(primary, notes) -> None:
    send(primary, (notes, ANY, [ids(1, 2)]))
    row = next(iter(primary.state.rows[EVENT_IDS].values()))
    _, reply = send(primary, (notes, EXISTS, [[row[8:24]]]))
    assert isinstance(reply, Appended)


def test_only_the_last_ids_are_remembered(primary_class) -> None:
    primary = primary_class(event_ids_max=2)
    notes = primary.create(1, "notes")
    send(primary, (notes, ANY, [ids(1, 2, 3)]))
    send(primary, (notes, ANY, [5]))
    assert [entry[:2] for entry in remembered(primary.state, 1, notes)] == [(ids(2)[0], 1), (ids(3)[0], 2)]
    assert isinstance(send(primary, (notes, ANY, [ids(1)]))[1], Appended)
    # More events than are remembered are never answered again, and never there twice.
    assert send(primary, (notes, ANY, [ids(2, 3, 1)]))[1].code is RefusalCode.EVENT_ID_TAKEN


def test_nothing_is_remembered_when_that_is_off(primary_class) -> None:
    primary = primary_class(event_ids_max=0)
    notes = primary.create(1, "notes")
    for _ in range(2):
        assert len(send(primary, (notes, ANY, [ids(1)]))[0]) == 2
    assert not primary.state.rows[EVENT_IDS]


def test_the_answer_is_kept_for_the_session_that_asked(primary, notes) -> None:
    _, first = send(primary, (notes, EMPTY, [ids(1)]))
    session = primary.open(b"c" * 16)
    origin = Origin(b"c" * 16, session, 1)
    assert primary.ask(lambda: primary.append_with_ids(1, [(notes, EMPTY, [ids(1)])]), origin) == first
    assert primary.ask(lambda: pytest.fail("it has its answer"), origin) == first


@pytest.mark.parametrize(
    "command",
    [
        KnownAppend(tenant=1, pieces=(KnownPiece(stream=77, event_id=bytes(16), count=1),), whole=True),
        KnownAppend(tenant=1, pieces=(KnownPiece(stream=77, event_id=b"", count=0),), whole=True),
        KnownAppend(tenant=1, pieces=(KnownPiece(stream=77, event_id=bytes(16), count=1),), whole=False),
    ],
)
def test_what_isnt_remembered_is_a_broken_invariant(primary, notes, command) -> None:
    with pytest.raises(AssertionError, match="the primary found"):
        primary.apply(command)


def test_an_id_that_is_there_is_not_appended_again(primary, notes) -> None:
    command = primary.append_with_ids(1, [(notes, ANY, [ids(1)])])
    primary.apply(command)
    sealed = primary.record(1, notes, 1, 1, primary.state.stream(1, notes).data_class, event_ids=ids(1)[0])
    (append,) = command.appends
    again = evolve(command, appends=(evolve(append, runs=(evolve(append.runs[0], record=sealed),)),))
    with pytest.raises(AssertionError, match="an event id is appended that is there already"):
        primary.apply(again)


# Against a model --------------------------------------------------------------------------------------------------

REMEMBERED = 4
STREAMS = ("a", "b")


@define
class Model:
    """All events that came with ids: by stream, (id, offset, position, time)."""

    events: dict[int, list[tuple[bytes, int, int, int]]] = field(factory=dict)
    heads: dict[int, int] = field(factory=dict)

    def outcome(self, appends: list[tuple[int, list[list[bytes] | int]]]) -> Any:
        """The ranges, first position and time of an answer that was given before; 'taken'; or None: it's new."""
        known = {(stream, one[0]): one for stream, all_ in self.events.items() for one in all_[-REMEMBERED:]}
        asked = [
            (stream, event_id)
            for stream, runs in appends
            for run in runs
            for event_id in (run if isinstance(run, list) else [None] * run)
        ]
        found = [known.get(one) for one in asked]
        if not any(found):
            return None
        if None in found:
            return "taken"
        first = found[0]
        if any(one[2:] != (first[2] + at, first[3]) for at, one in enumerate(found)):
            return "taken"
        offsets = {
            stream: [one[1] for (of, _), one in zip(asked, found, strict=True) if of == stream] for stream, _ in appends
        }
        if any(some != list(range(some[0], some[0] + len(some))) for some in offsets.values() if some):
            return "taken"
        ranges = tuple(
            AppendedStream(stream, some[0], some[-1] + 1) if some else AppendedStream(stream, *[self.heads[stream]] * 2)
            for stream, some in offsets.items()
        )
        return Appended(ranges, first[2], first[2] + len(found), first[3])


class IdMachine(RuleBasedStateMachine):
    primary_class: type[Any]

    def __init__(self) -> None:
        super().__init__()
        self.primary = self.primary_class(event_ids_max=REMEMBERED)
        self.model = Model()
        self.sent: list[list[tuple[int, list[list[bytes] | int]]]] = []
        self.fork: Any = None
        self.disk: dict[tuple[int, bytes], bytes] = {}

    @initialize()
    def streams(self) -> None:
        self.streams = [self.primary.create(1, name) for name in STREAMS]
        self.model.heads = dict.fromkeys(self.streams, 0)

    @rule(data=st.data())
    def append(self, data: st.DataObject) -> None:
        """Ids of a small world, so that they meet again in all ways."""
        chosen = data.draw(st.lists(st.sampled_from(self.streams), min_size=1, max_size=2, unique=True))
        world = st.integers(0, 12)
        appends = []
        for stream in chosen:
            numbers = data.draw(st.lists(world, min_size=0, max_size=4, unique=True))
            cut = data.draw(st.integers(0, len(numbers)))
            runs = [ids(*some) for some in (numbers[:cut], numbers[cut:]) if some]
            appends.append((stream, [*runs, *data.draw(st.sampled_from([[], [], [], [2]]))]))
        if any(runs for _, runs in appends):
            self.send(appends, data.draw(st.booleans()))

    @rule(data=st.data())
    def again(self, data: st.DataObject) -> None:
        if self.sent:
            self.send(data.draw(st.sampled_from(self.sent[-4:])), data.draw(st.booleans()))

    def send(self, appends: list[tuple[int, list[list[bytes] | int]]], in_parts: bool) -> None:
        outcome = self.model.outcome(appends)
        command = self.primary.append_with_ids(1, [(stream, ANY, runs) for stream, runs in appends])
        if outcome is None and in_parts and all(runs for _, runs in appends):
            effects, reply = self.send_parts(command)
        else:
            effects, reply = self.primary.apply(command)
        if outcome == "taken":
            assert (effects, reply.code) == ((), RefusalCode.EVENT_ID_TAKEN)
        elif outcome is not None:
            assert (effects, reply) == ((), outcome)
        else:
            self.take(appends, reply, effects)

    def send_parts(self, command: Any) -> Any:
        """The same append, each run a part of its own: nothing is remembered before the last."""
        pieces = [(append.stream, run) for append in command.appends for run in append.runs]
        offsets, transaction = dict(self.model.heads), self.primary.clock + 1
        for number, (stream, run) in enumerate(pieces):
            before, last = self.primary.state.rows[EVENT_IDS], number == len(pieces) - 1
            piece = (stream, ANY, offsets[stream], [run.count])
            part = self.primary.part_command(1, number, [piece], transaction=transaction, last=last)
            (built,) = part.appends
            sealed = with_ids(built.runs[0].record, decode_record(run.record).event_ids)
            part = evolve(part, appends=(evolve(built, runs=(evolve(built.runs[0], record=sealed),)),))
            effects, reply = self.primary.apply(part)
            offsets[stream] += run.count
            assert last or self.primary.state.rows[EVENT_IDS] is before
        return effects, reply

    def take(self, appends: Any, reply: Any, effects: Any) -> None:
        assert isinstance(reply, Appended)
        self.sent.append(appends)
        position = reply.first_position
        for (stream, runs), told in zip(appends, reply.streams, strict=True):
            offset = self.model.heads[stream]
            assert told.first_offset == offset
            for run in runs:
                for event_id in run if isinstance(run, list) else [None] * run:
                    if event_id is not None:
                        entry = (event_id, offset, position, reply.timestamp)
                        self.model.events.setdefault(stream, []).append(entry)
                    offset, position = offset + 1, position + 1
            self.model.heads[stream] = offset
        assert sum(isinstance(effect, AppendRecord) for effect in effects) == sum(len(runs) for _, runs in appends)

    @rule()
    def fork_here(self) -> None:
        self.fork = (
            self.primary.state,
            {key: list(value) for key, value in self.model.events.items()},
            dict(self.model.heads),
        )

    @rule()
    def roll_back(self) -> None:
        if self.fork is not None:
            self.primary.state, events, heads = self.fork
            self.model = Model({key: list(value) for key, value in events.items()}, dict(heads))
            self.disk = self.primary.rows()
            _, self.primary.state = self.primary.state.take_changed()

    @rule()
    def restart(self) -> None:
        """From what checkpoints wrote."""
        changed, self.primary.state = self.primary.state.take_changed()
        for table, rows in changed.items():
            for key, value in rows.items():
                if value is None:
                    self.disk.pop((table, key), None)
                else:
                    self.disk[table, key] = value
        state = self.primary.state
        rows = [(table, key, value) for (table, key), value in self.disk.items()]
        again = State.from_rows(state.group, state.sessions_max, rows, state.event_ids_max)
        assert again.digest() == state.digest()
        self.primary.state = again

    @invariant()
    def the_last_ones_are_remembered(self) -> None:
        for stream in self.model.heads:
            held = list(remembered(self.primary.state, 1, stream))
            assert held == self.model.events.get(stream, [])[-REMEMBERED:]
        assert all(len(row) <= REMEMBERED * ENTRY.size for row in self.primary.state.rows[EVENT_IDS].values())


def test_the_memory_is_the_models(primary_class: type[Any]) -> None:
    IdMachine.primary_class = primary_class
    run_state_machine_as_test(IdMachine, settings=settings(max_examples=100, stateful_step_count=30, deadline=None))
