import pytest

from vdb.errors import RefusalCode
from vdb.kernel.command import ANY, EMPTY, EXISTS, Expected, ExpectedKind
from vdb.kernel.predict import NewStream, check_append, check_append_to, check_create
from vdb.kernel.reply import Refusal, StreamCreated
from vdb.kernel.streamid import stream_id
from vdb.limits import EVENTS_PER_COMMAND_MAX, STREAMS_PER_APPEND_MAX
from vdb.types import DataClass

LOOKUP = bytes(32)


def exactly(offset: int) -> Expected:
    return Expected(ExpectedKind.EXACT, offset)


@pytest.fixture
def with_streams(primary):
    """Tenant 1 with `notes` at offset 3 and `empty` at 0."""
    primary.notes = primary.create(1, "notes")
    primary.empty = primary.create(1, "empty")
    primary.append(1, (primary.notes, ANY, [3]))
    return primary


def test_first_offsets_in_the_order_asked(with_streams) -> None:
    state, notes, empty = with_streams.state, with_streams.notes, with_streams.empty
    asked = [(empty, EMPTY, 2), (notes, exactly(3), 1)]
    assert check_append(state, 1, asked) == (0, 3)
    assert check_append(state, 1, asked[::-1]) == (3, 0)


def test_a_stream_with_events_exists(with_streams) -> None:
    assert check_append(with_streams.state, 1, [(with_streams.notes, EXISTS, 1)]) == (3,)


def test_a_condition_alone_is_fine_beside_events(with_streams) -> None:
    state, notes, empty = with_streams.state, with_streams.notes, with_streams.empty
    assert check_append(state, 1, [(notes, exactly(3), 0), (empty, ANY, 1)]) == (3, 0)


@pytest.mark.parametrize("expected", [ANY, EMPTY, EXISTS, exactly(0), exactly(3)])
@pytest.mark.parametrize("count", [0, 1, EVENTS_PER_COMMAND_MAX, EVENTS_PER_COMMAND_MAX + 1])
@pytest.mark.parametrize(("tenant", "stream"), [(1, "notes"), (1, "empty"), (1, "none"), (2, "notes")])
def test_one_stream_is_judged_as_several_are(with_streams, tenant, stream, expected, count) -> None:
    state = with_streams.state
    number = {"notes": with_streams.notes, "empty": with_streams.empty, "none": 99}[stream]
    alone = check_append_to(state, tenant, number, expected, count)
    other = with_streams.empty if stream == "notes" else with_streams.notes
    # A condition alone on another stream changes nothing of the outcome.
    beside = check_append(state, tenant, [(number, expected, count), (other, ANY, 0)])
    assert check_append(state, tenant, [(number, expected, count)]) == (
        alone if isinstance(alone, Refusal) else (alone,)
    )
    assert beside == alone if isinstance(alone, Refusal) else beside[0] == alone


def test_refusals_of_an_append(with_streams) -> None:
    state, notes, empty = with_streams.state, with_streams.notes, with_streams.empty
    code = RefusalCode
    for appends, expected in [
        ([(99, ANY, 1)], Refusal(code.UNKNOWN_STREAM, "tenant 1 has no stream 99 in group eu-west-1")),
        ([(0, ANY, 1)], Refusal(code.UNKNOWN_STREAM, "tenant 1 has no stream 0 in group eu-west-1")),
        (
            [(notes, ANY, 1), (notes, ANY, 1)],
            Refusal(code.INVALID_ARGUMENT, f"an append names each stream once; found stream {notes} twice"),
        ),
        (
            [(notes, exactly(5), 1)],
            Refusal(code.WRONG_EXPECTED_OFFSET, f"expected exactly 5, stream {notes} is at 3"),
        ),
        ([(notes, EMPTY, 1)], Refusal(code.WRONG_EXPECTED_OFFSET, f"expected none, stream {notes} is at 3")),
        (
            [(empty, EXISTS, 1)],
            Refusal(code.WRONG_EXPECTED_OFFSET, f"expected at least one event, stream {empty} is at 0"),
        ),
        ([(empty, exactly(1), 1)], Refusal(code.WRONG_EXPECTED_OFFSET, f"expected exactly 1, stream {empty} is at 0")),
        (
            [(notes, ANY, EVENTS_PER_COMMAND_MAX), (empty, ANY, 1)],
            Refusal(code.TOO_LARGE, "an append holds at most 1000000 events; found 1000001"),
        ),
        ([(notes, ANY, 0)], Refusal(code.INVALID_ARGUMENT, "an append holds at least one event; found none")),
        ([], Refusal(code.INVALID_ARGUMENT, "an append holds at least one event; found none")),
    ]:
        assert check_append(state, 1, appends) == expected
    unknown = Refusal(code.UNKNOWN_TENANT, "tenant 2 has no stream in group eu-west-1")
    assert check_append(state, 2, [(notes, ANY, 1)]) == unknown


def test_too_many_streams(primary) -> None:
    streams = [primary.create(1, str(number)) for number in range(STREAMS_PER_APPEND_MAX + 1)]
    assert len(check_append(primary.state, 1, [(stream, ANY, 1) for stream in streams[1:]])) == STREAMS_PER_APPEND_MAX
    assert check_append(primary.state, 1, [(stream, ANY, 1) for stream in streams]) == Refusal(
        RefusalCode.TOO_LARGE, "an append holds at most 64 streams; found 65"
    )


def test_the_order_of_refusals(with_streams) -> None:
    """Unknown stream, then a stream twice, then conditions, then limits."""
    state, notes = with_streams.state, with_streams.notes
    many = EVENTS_PER_COMMAND_MAX + 1
    asked = [(notes, exactly(9), many), (notes, ANY, 1), (99, ANY, 1)]
    codes = []
    for end in (3, 2, 1):
        answer = check_append(state, 1, asked[:end])
        assert isinstance(answer, Refusal)
        codes.append(answer.code)
    assert codes == [RefusalCode.UNKNOWN_STREAM, RefusalCode.INVALID_ARGUMENT, RefusalCode.WRONG_EXPECTED_OFFSET]


def test_new_streams_count_from_one(primary) -> None:
    group = primary.group
    assert check_create(primary.state, 1, LOOKUP, DataClass.PHI, group, False) == NewStream(stream_id(group, 1), 0)
    primary.create(1, "notes")
    assert check_create(primary.state, 1, LOOKUP, DataClass.PHI, group, False) == (stream_id(group, 2), 1)
    assert check_create(primary.state, 2, LOOKUP, DataClass.PHI, group, False) == (stream_id(group, 1), 0)


def test_an_existing_stream(primary) -> None:
    stream = primary.create(1, "notes", DataClass.PHI)
    command = primary.create_command(1, "notes", DataClass.PHI)

    def ask(data_class: DataClass, if_not_exists: bool):
        return check_create(primary.state, 1, command.lookup, data_class, primary.group, if_not_exists)

    assert ask(DataClass.PHI, True) == StreamCreated(stream, created=False)
    assert ask(DataClass.PHI, False) == Refusal(
        RefusalCode.STREAM_EXISTS, f"expected a new phi stream, found stream {stream} of that name (phi)"
    )
    assert ask(DataClass.NON_PHI, True) == Refusal(
        RefusalCode.STREAM_EXISTS, f"expected a new non-phi stream, found stream {stream} of that name (phi)"
    )


def test_refusals_of_a_create(primary, global_primary) -> None:
    state = primary.state
    assert check_create(state, 0, LOOKUP, DataClass.PHI, "eu-west-1", False) == Refusal(
        RefusalCode.INVALID_ARGUMENT, "a tenant id starts at 1; found 0"
    )
    assert check_create(state, 1, b"short", DataClass.PHI, "eu-west-1", False) == Refusal(
        RefusalCode.INVALID_ARGUMENT, "a stream's lookup has 32 bytes; found 5"
    )
    assert check_create(state, 1, LOOKUP, DataClass.NON_PHI, "global", False) == Refusal(
        RefusalCode.PLACEMENT_VIOLATION, "group eu-west-1 holds no data placed in 'global': wrong group"
    )
    assert check_create(global_primary.state, 1, LOOKUP, DataClass.PHI, "global", True) == Refusal(
        RefusalCode.PLACEMENT_VIOLATION, "PHI needs a region; found the global group"
    )
