"""Moments: microseconds UTC, exactly, or nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import InvalidArgument
from vdb.events.times import time_us

ZONES = st.sampled_from([UTC, timezone(timedelta(hours=10, minutes=30)), timezone(-timedelta(hours=3, seconds=1))])


@given(st.datetimes(timezones=ZONES))
def test_datetimes_lose_nothing(moment: datetime) -> None:
    back = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us(moment, "x"))
    assert back == moment


def test_numbers_are_microseconds() -> None:
    assert time_us(-5, "x") == -5


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (datetime(2026, 1, 1), "a time: expected a datetime with a zone"),
        (1.5, "found float"),
        (True, "found bool"),
        ("now", "found str"),
        (2**64, "have 64 bits"),
    ],
)
def test_anything_else_is_refused(value: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        time_us(value, "a time")
