"""Clinical times to microseconds UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.projections.times import parse_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31), timezones=ZONES))
def test_agrees_with_datetime(moment: datetime) -> None:
    assert parse_time(moment.isoformat()) == (moment - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("1958", "1958-01-01T00:00:00Z"),
        ("1958-07", "1958-07-01T00:00:00Z"),
        ("1958-07-12", "1958-07-12T00:00:00Z"),
        ("2020-01-01T10:00:00", "2020-01-01T10:00:00Z"),
        ("2020-01-01T10:00Z", "2020-01-01T10:00:00Z"),
        ("2020-01-01T23:59:60Z", "2020-01-02T00:00:00Z"),
        ("2020-01-01T10:00:00.1234567Z", "2020-01-01T10:00:00.123456Z"),
        ("2014-08-19T01:16:46-04:00", "2014-08-19T05:16:46Z"),
        ("2014-08-19T01:16:46+0530", "2014-08-18T19:46:46Z"),
    ],
)
def test_shapes(text: str, same_as: str) -> None:
    assert parse_time(text) == parse_time(same_as)
    assert parse_time(text) is not None


def test_years_at_the_edge_with_zones_do_not_overflow() -> None:
    assert parse_time("0001-01-01T00:00:00+14:00") == parse_time("0001-01-01T00:00:00Z") - 14 * 3_600_000_000  # type: ignore[operator]


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2020-13", "2020-02-30", "2020-1-1", "2020-W01-1", "2020-01-01T25:00Z", "2020-01-01T10:00:61Z",
     "2020-01-01T10:00+15:00", "2020-01-01Z", "٢٠٢٠", "2020-01-01T10:00:00.Z"],
)  # fmt: skip
def test_what_is_not_a_time(text: str) -> None:
    assert parse_time(text) is None


@given(st.text(max_size=30))
def test_any_text_is_read_without_raising(text: str) -> None:
    parse_time(text)
