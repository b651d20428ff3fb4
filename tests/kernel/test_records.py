import pytest

from vdb.kernel.command import ANY, AppendBatch, PutKey, Run, StreamAppend
from vdb.kernel.reply import Appended
from vdb.types import DataClass

PHI, NON_PHI = DataClass.PHI, DataClass.NON_PHI


@pytest.fixture
def send(primary):
    """Append one run with a record that was sealed as the arguments say."""
    stream = primary.create(1, "notes")
    primary.put_keys(2)

    def send(count=1, record=None, **sealed):
        if record is None:
            place = {"tenant": 1, "stream": stream, "offset": 0, "count": 1, "data_class": NON_PHI} | sealed
            record = primary.record(**place)
        run = Run(count=count, record=record)
        append = StreamAppend(stream=stream, expected=ANY, runs=(run,))
        return primary.apply(AppendBatch(tenant=1, appends=(append,)))[1]

    return send


def test_a_record_sealed_for_its_place_is_taken(send) -> None:
    assert isinstance(send(), Appended)


@pytest.mark.parametrize(
    ("sealed", "message"),
    [
        ({"record": b""}, "predicted a refusal"),
        ({"record": b"\0" * 300}, "doesn't decode"),
        ({"tenant": 2}, "sealed for tenant 2, found tenant 1"),
        ({"stream": 5}, "sealed for stream 5"),
        ({"offset": 4}, "sealed for offset 4, stream .* is at 0"),
        ({"count": 2, "record": None}, "sealed with 1 events, the run names 2"),
        ({"data_class": PHI}, "sealed as class 1, stream .* is 0"),
        ({"time": 1}, "sealed at 1, the request is at"),
        ({"region": "us-east-1"}, "sealed for us-east-1, this is group eu-west-1"),
        ({"dek_id": b"x" * 16}, "the record's key was never put"),
        ({"dek_id": b"S" + (2).to_bytes(15, "big")}, "the record's key is another tenant's"),
    ],
)
def test_a_record_sealed_for_another_place_is_a_broken_invariant(send, sealed, message) -> None:
    with pytest.raises(AssertionError, match=message):
        send(**sealed)


def test_a_run_without_events_is_a_broken_invariant(primary) -> None:
    stream = primary.create(1, "notes")
    with pytest.raises(AssertionError, match="a record without events"):
        primary.append(1, (stream, ANY, [1, 0]))


def test_a_refused_record_leaves_the_state_as_it_was(primary, send) -> None:
    before = primary.state
    with pytest.raises(AssertionError):
        send(offset=9)
    assert primary.state is before


def test_the_global_group_takes_no_phi(global_primary) -> None:
    """Not even when class and stream agree, which the rules for creating a stream rule out already."""
    from vdb.kernel.draft import Draft
    from vdb.kernel.records import check_record

    global_primary.apply(PutKey(row=global_primary.key_row(1)))
    record = global_primary.record(1, 1, 0, 1, PHI, dek_id=b"T" + (1).to_bytes(15, "big"))
    draft = Draft(global_primary.state, global_primary.clock + 1)
    with pytest.raises(AssertionError, match="PHI in the global group"):
        check_record(draft, 1, 1, PHI, 0, 1, record, draft.last_timestamp)
