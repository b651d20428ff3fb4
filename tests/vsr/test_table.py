"""Every pair of status and input has a cell: a handler, or the reason why the input is dropped."""

from __future__ import annotations

from typing import get_args

import pytest

from vdb.vsr.message import (
    CheckpointDurable,
    CoreMessage,
    Input,
    Opened,
    PrepareDamaged,
    PrepareDurable,
    PrepareOk,
    Propose,
    Report,
    ViewDurable,
)
from vdb.vsr.state import Status
from vdb.vsr.table import TABLE, Dropped, is_held_back

KINDS = get_args(CoreMessage) + get_args(Report)


def test_the_messages_and_reports_are_all_inputs() -> None:
    assert set(KINDS) == set(get_args(Input))


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_pair_has_a_cell(status: Status, kind: type) -> None:
    cell = TABLE[status, kind]
    assert callable(cell) or (isinstance(cell, Dropped) and cell.reason)


def test_there_is_no_other_cell() -> None:
    assert len(TABLE) == len(Status) * len(KINDS)


def test_only_the_opening_counts_before_storage_has_recovered() -> None:
    assert [kind for kind in KINDS if callable(TABLE[Status.RECOVERING, kind])] == [Opened]


def test_what_a_removed_replica_still_does_is_its_own_disk_s() -> None:
    assert [kind for kind in KINDS if callable(TABLE[Status.REMOVED, kind])] == [PrepareDurable, CheckpointDurable]


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.NORMAL])
def test_ops_are_proposed_and_acked_in_normal_operation_alone(status: Status) -> None:
    assert isinstance(TABLE[status, Propose], Dropped)
    assert isinstance(TABLE[status, PrepareOk], Dropped)


def test_reports_of_the_disk_don_t_wait_for_a_view() -> None:
    waits = [kind for kind in KINDS if is_held_back(kind.__new__(kind))]
    assert set(KINDS) - set(waits) == {PrepareDurable, PrepareDamaged, CheckpointDurable, ViewDurable}
