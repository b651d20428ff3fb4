from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import RefusalCode
from vdb.kernel.apply import apply_committed, apply_request
from vdb.kernel.command import (
    AppendBatch,
    Command,
    CreateStream,
    Expected,
    ExpectedKind,
    KeyRow,
    KeyScope,
    OpenSession,
    Origin,
    PutKey,
    Reject,
    Request,
    Run,
    StreamAppend,
)
from vdb.kernel.reply import Refusal, Reply, StreamCreated
from vdb.types import DataClass

NOT_IN_A_SESSION = Refusal(RefusalCode.INVALID_ARGUMENT, "a session is opened by a client, outside of a session")
REJECT = Reject(code=RefusalCode.TOO_LARGE, message="an event holds at most 5 bytes; found 6")


def test_a_session_opens_outside_of_a_session(primary) -> None:
    session = primary.open(b"c" * 16)
    assert apply_committed(primary.state, OpenSession(), 5_000)[2] == NOT_IN_A_SESSION
    assert primary.apply(OpenSession(), Origin(b"c" * 16, session, 1))[1] == NOT_IN_A_SESSION


def test_a_rejected_request_uses_up_its_number(primary) -> None:
    refusal = Refusal(REJECT.code, REJECT.message)
    session = primary.open(b"c" * 16)
    assert primary.apply(REJECT, Origin(b"c" * 16, session, 1)) == ((), refusal)
    assert primary.state.session(session).last_number == 1
    assert primary.apply(REJECT) == ((), refusal)


def test_committed_and_requested_agree(primary) -> None:
    primary.put_keys(1)
    command = primary.create_command(1, "notes")
    at = primary.clock + 1
    committed = apply_committed(primary.state, command, at)
    assert committed == apply_request(primary.state, Request(Origin(), command), at)
    assert isinstance(committed[2], StreamCreated)


u64 = st.integers(0, 2**64 - 1)
small = st.integers(0, 3) | u64
data_classes = st.sampled_from(DataClass)
expecteds = st.builds(Expected, st.sampled_from(ExpectedKind), small)
runs = st.builds(Run, count=st.integers(0, 2**32 - 1), record=st.just(b""))
sizes = st.sampled_from([0, 16, 32, 40])
key_rows = st.builds(
    KeyRow,
    dek_id=st.sampled_from([b"T" + (1).to_bytes(15, "big"), bytes(16), b""]),
    tenant=small,
    scope=st.sampled_from(KeyScope),
    data_class=data_classes,
    lookup=st.sampled_from([bytes(32), b""]),
    subject_token=st.sampled_from([bytes(32), b""]),
    kek_id=st.sampled_from([b"T" + (1).to_bytes(15, "big"), bytes(16)]),
    kek_version=st.integers(0, 2**32 - 1),
    wrapped=st.sampled_from([bytes(40), b""]),
    wrapped_secret=sizes.map(bytes),
)


def appends(streams: st.SearchStrategy[int]) -> st.SearchStrategy[Command]:
    one = st.builds(StreamAppend, stream=streams, expected=expecteds, runs=st.lists(runs, max_size=3).map(tuple))
    return st.builds(AppendBatch, tenant=small, appends=st.lists(one, max_size=3).map(tuple))


creates = st.builds(
    CreateStream,
    tenant=small,
    stream=small,
    data_class=data_classes,
    region=st.sampled_from(["eu-west-1", "global", "", "\U0001f30d"]),
    lookup=st.binary(max_size=40),
    record=st.just(b""),
    if_not_exists=st.booleans(),
)
origins = st.builds(Origin, st.sampled_from([b"c" * 16, bytes(16), b""]), small, small)


@given(data=st.data())
def test_total(primary_class, data: st.DataObject) -> None:
    """Whatever a command holds: an answer, or an assertion about what a primary that predicts can't have made."""
    primary = primary_class()
    primary.create(1, "notes")
    primary.open(b"c" * 16)
    streams = st.sampled_from([stream.stream for stream in primary.state.streams(1)]) | small
    puts = st.builds(PutKey, row=key_rows)
    commands = st.one_of(appends(streams), creates, puts, st.just(OpenSession()), st.just(REJECT))
    for _ in range(4):
        request = Request(data.draw(origins), data.draw(commands))
        broken = ""
        try:
            _, reply = primary.apply(request.command, request.origin)
            assert isinstance(reply, Reply), "an answer"
        except AssertionError as error:
            broken = str(error)
        assert not broken or "predicted" in broken or "without events" in broken
