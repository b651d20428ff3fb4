import pytest
from attrs import evolve

from vdb.crypto.record import chain, record_leaf
from vdb.errors import RefusalCode
from vdb.kernel.command import ANY, EMPTY, AppendBatch, Expected, ExpectedKind, Run, StreamAppend
from vdb.kernel.effect import AppendRecord, WakeProjection
from vdb.kernel.reply import Appended, AppendedStream, Refusal, StreamCreated
from vdb.kernel.streams import catalogue_class
from vdb.types import DataClass


def test_creating_a_stream_appends_its_name_to_the_catalogue(primary) -> None:
    primary.put_keys(1)
    command = primary.create_command(1, "notes", DataClass.PHI)
    effects, reply = primary.apply(command)
    assert reply == StreamCreated(command.stream, created=True)
    assert effects == (AppendRecord(1, 0, 0, 0, 1, command.record), WakeProjection(1))
    assert primary.state.next_position == 1
    assert primary.state.stream_by_lookup(1, command.lookup).stream == command.stream


def test_creating_it_again_is_an_answer_or_a_refusal(primary) -> None:
    stream = primary.create(1, "notes")
    before = primary.rows()
    effects, reply = primary.apply(primary.create_command(1, "notes", if_not_exists=True))
    assert (effects, reply) == ((), StreamCreated(stream, created=False))
    effects, reply = primary.apply(primary.create_command(1, "notes"))
    assert effects == ()
    assert reply.code is RefusalCode.STREAM_EXISTS
    changed = [key for key, value in primary.rows().items() if before.get(key) != value]
    assert changed == [(0, b"last_timestamp")]


def test_the_catalogue_has_the_class_that_the_group_allows(primary, global_primary) -> None:
    assert catalogue_class(primary.group) is DataClass.PHI
    assert catalogue_class(global_primary.group) is DataClass.NON_PHI
    assert global_primary.create(1, "codes") == 1


def test_a_wrong_prediction_of_the_id_is_a_broken_invariant(primary) -> None:
    primary.put_keys(1)
    command = primary.create_command(1, "notes")
    with pytest.raises(AssertionError, match="predicted stream"):
        primary.apply(evolve(command, stream=command.stream + 1))


def test_a_name_sealed_for_an_existing_stream_is_a_broken_invariant(primary) -> None:
    primary.put_keys(1)
    command = primary.create_command(1, "notes")
    primary.apply(command)
    with pytest.raises(AssertionError, match="sealed a name"):
        primary.apply(command)


def test_an_append_takes_offsets_positions_and_the_chain(primary) -> None:
    stream = primary.create(1, "notes")
    before = primary.state.tenant(1)
    command = primary.append_command(1, [(stream, EMPTY, [2, 3])])
    effects, reply = primary.apply(command)
    first, second = command.appends[0].runs
    assert reply == Appended((AppendedStream(stream, 0, 5),), 1, 6, primary.clock)
    assert effects == (
        AppendRecord(1, stream, 0, 1, 2, first.record),
        AppendRecord(1, stream, 2, 3, 3, second.record),
        WakeProjection(1),
    )
    after = primary.state.tenant(1)
    assert after.chain == chain(chain(before.chain, record_leaf(first.record)), record_leaf(second.record))
    assert (after.record_count, after.event_count) == (3, 6)
    assert primary.state.stream(1, stream).last_position == 5


def test_an_append_to_several_streams_is_one(primary) -> None:
    notes, letters, closed = (primary.create(1, name) for name in ("notes", "letters", "closed"))
    exact = Expected(ExpectedKind.EXACT, 0)
    reply = primary.append(1, (letters, exact, [1]), (closed, EMPTY, []), (notes, ANY, [2]))
    assert reply == Appended(
        (AppendedStream(letters, 0, 1), AppendedStream(closed, 0, 0), AppendedStream(notes, 0, 2)),
        3,
        6,
        primary.clock,
    )
    assert primary.state.stream(1, closed).last_position == 2, "the position of its catalogue record"
    refused = primary.append(1, (notes, ANY, [2]), (letters, exact, [1]))
    assert refused == Refusal(RefusalCode.WRONG_EXPECTED_OFFSET, f"expected exactly 0, stream {letters} is at 1")
    assert primary.state.stream(1, notes).next_offset == 2


def test_records_of_a_refused_append_are_a_broken_invariant(primary) -> None:
    stream = primary.create(1, "notes")
    run = Run(count=1, record=primary.record(1, stream, 7, 1, DataClass.NON_PHI))
    append = StreamAppend(stream=stream, expected=Expected(ExpectedKind.EXACT, 7), runs=(run,))
    with pytest.raises(AssertionError, match=f"refused: expected exactly 7, stream {stream} is at 0"):
        primary.apply(AppendBatch(tenant=1, appends=(append,)))
