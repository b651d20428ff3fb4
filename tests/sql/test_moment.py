"""A moment of the past, in the forms in which it is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from vdb.errors import InvalidArgument
from vdb.sql.moment import Moment, parse_moment
from vdb.types import GroupId, Position

NOON = 1_772_366_400_000_000


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (7, Moment(offset=7)),
        ("7", Moment(offset=7)),
        (" 0 ", Moment(offset=0)),
        (Position(GroupId("ap-southeast-2"), 120), Moment(position=Position(GroupId("ap-southeast-2"), 120))),
        ("ap-southeast-2:120", Moment(position=Position(GroupId("ap-southeast-2"), 120))),
        ("2026-03-01T12:00:00Z", Moment(timestamp=NOON)),
        ("2026-03-01T12:00:00", Moment(timestamp=NOON)),
        ("2026-03-01 23:00:00.000001+11:00", Moment(timestamp=NOON + 1)),
        (datetime(2026, 3, 1, 12, tzinfo=UTC), Moment(timestamp=NOON)),
        (datetime(2026, 3, 1, 12), Moment(timestamp=NOON)),
        (datetime(2026, 3, 1, 23, tzinfo=timezone(timedelta(hours=11))), Moment(timestamp=NOON)),
        (Moment(offset=3), Moment(offset=3)),
    ],
)
def test_forms(said: object, meant: Moment) -> None:
    assert parse_moment(said) == meant  # type: ignore[arg-type]


@pytest.mark.parametrize("said", ["yesterday", "", "1.5", "-1", 1.5, True, None, b"7"])
def test_what_names_no_moment_is_refused(said: object) -> None:
    with pytest.raises(InvalidArgument, match="a moment is an offset, a position GROUP:NUMBER, or a time such as"):
        parse_moment(said)  # type: ignore[arg-type]


def test_an_offset_below_zero_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="an offset is 0 or more; found -1"):
        parse_moment(-1)
