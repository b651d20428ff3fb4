"""The facade: inputs held back, what the shell may ask, and what is asserted after each input."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim.cores.hand import Hand
from vdb.vsr.header import ZERO_CHECKSUM
from vdb.vsr.message import Opened, Ping, Propose, Tick, ViewDurable
from vdb.vsr.ready import NOTHING
from vdb.vsr.replica import Replica, Status

Make = Callable[..., Hand]


def opened(**fields: object) -> Opened:
    return Opened(**{  # type: ignore[arg-type]
        "view": 0, "log_view": 0, "checkpoint_op": 0, "checkpoint_id": ZERO_CHECKSUM,
        "checkpoint_checksum": ZERO_CHECKSUM, "checkpoint_timestamp": 0, "headers": (), **fields,
    })  # fmt: skip


def alone(group: Make) -> Replica:
    return group(1).hosts[0].replica


def test_a_new_replica_drops_all_until_storage_is_open(group: Make) -> None:
    replica = Replica(group=bytes(32), replica=0, limits=group(1).limits)
    assert replica.status is Status.RECOVERING
    assert replica.on(Tick()) is NOTHING
    assert replica.on(Ping(view=9, commit=0, checkpoint_op=0, replica=1)) is NOTHING


def test_inputs_wait_while_a_view_is_written(group: Make) -> None:
    replica = Replica(group=bytes(32), replica=0, limits=group(1).limits)
    ready = replica.on(opened())
    assert ready.view_change is not None
    with pytest.raises(AssertionError, match="inputs wait while a view is being written"):
        replica.on(Tick())
    replica.on(ViewDurable(view=1, log_view=1))
    assert replica.status is Status.NORMAL


def test_a_report_of_another_view_than_the_one_written_is_a_bug(group: Make) -> None:
    replica = Replica(group=bytes(32), replica=0, limits=group(1).limits)
    replica.on(opened())
    with pytest.raises(AssertionError):
        replica.on(ViewDurable(view=7, log_view=7))


@pytest.mark.parametrize("fields", [{"view": 1, "log_view": 2}, {"nonce": 0}])
def test_a_superblock_that_can_t_be_is_a_bug(group: Make, fields: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        Replica(group=bytes(32), replica=0, limits=group(1).limits).on(opened(**fields))


def test_a_group_s_name_is_a_hash(group: Make) -> None:
    with pytest.raises(AssertionError):
        Replica(group=b"short", replica=0, limits=group(1).limits)


def test_the_pipeline_is_bounded(group: Make) -> None:
    one = group(1)
    one.stalled[0] = None
    one.propose(b"a", b"b", b"c")
    assert not one.primary.replica.can_propose()
    assert [header.op for header in one.primary.replica.pipeline_headers()] == [1, 2, 3]
    with pytest.raises(AssertionError):
        one.primary.replica.on(Propose(body=b"d", timestamp=99, request_count=1))


def test_time_rises_whatever_the_clock_says(group: Make) -> None:
    replica = alone(group)
    assert replica.next_timestamp(1000) == 1000
    replica.on(Propose(body=b"", timestamp=1000, request_count=5))
    assert replica.next_timestamp(900) == 1005
    with pytest.raises(AssertionError):
        replica.on(Propose(body=b"", timestamp=1004, request_count=1))


def test_the_primary_of_a_change_is_one_of_its_voters(group: Make) -> None:
    replica = alone(group)
    made = replica.next_configuration((4, 0), (2,))
    assert (made.epoch, made.primary(replica.view), made.learners) == (1, 0, (2,))
    with pytest.raises(AssertionError):
        replica.next_configuration((4,), ())


def test_what_was_taken_isn_t_given_twice(group: Make) -> None:
    replica = alone(group)
    ready = replica.on(Propose(body=b"", timestamp=1, request_count=1))
    assert len(ready.persist) == 1
    assert replica.take_ready() == NOTHING
