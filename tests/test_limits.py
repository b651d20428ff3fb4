"""The relations between the bounds are asserted where they are made."""

from __future__ import annotations

import pytest

from vdb.limits import PREPARE_HEADER_SIZE, SECTOR_SIZE, Limits


def test_the_defaults_hold_together() -> None:
    limits = Limits()
    assert limits.wal_headers_size % SECTOR_SIZE == 0
    assert limits.wal_headers_size >= limits.wal_slots * PREPARE_HEADER_SIZE
    assert limits.body_size_max < limits.message_size_max


@pytest.mark.parametrize(
    "bad",
    [
        {"message_size_max": 5000},
        {"message_size_max": 4096},
        {"message_size_max": 32 * 1024 * 1024},
        {"pipeline_max": 0},
        {"pipeline_max": 128},
        {"wal_slots": 130},
        {"requests_per_prepare_max": 0},
        {"request_queue_max": 1},
        {"sessions_max": 0},
        {"read_bytes_max": 1},
        {"wal_slots": 8192},
    ],
)
def test_bounds_that_contradict_each_other_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        Limits(**bad)
