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
        {"pipeline_max": 25},
        {"wal_slots": 130},
        {"requests_per_prepare_max": 0},
        {"request_queue_max": 1},
        {"sessions_max": 0},
        {"read_bytes_max": 1},
        {"wal_slots": 8192},
        {"transaction_size_max": 128 * 1024 * 1024},
        {"transaction_size_max": -1},
    ],
)
def test_bounds_that_contradict_each_other_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(AssertionError, match=r"expected .*, found -?\d+$"):
        Limits(**bad)


def test_a_transaction_fits_the_ops_between_two_checkpoints() -> None:
    assert Limits().transaction_size_max == 16 * 1024 * 1024
    small = Limits(message_size_max=64 * 1024, wal_slots=24, checkpoint_interval=8)
    assert small.transaction_size_max == 194_358
    assert small.request_queue_bytes_max == 4 * 194_358
    assert Limits(transaction_size_max=0).request_queue_bytes_max == 4 * 1024 * 1024


def test_a_transaction_that_is_too_large_says_what_would_fit() -> None:
    with pytest.raises(AssertionError, match=r"transaction_size_max: expected at most \d+ .* found 134217728"):
        Limits(transaction_size_max=128 * 1024 * 1024)
