"""Moments as they are given: a datetime with a zone, or microseconds UTC since 1970."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from vdb.errors import InvalidArgument

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_I64_MAX = 2**63 - 1


def time_us(value: datetime | int, what: str) -> int:
    """Microseconds UTC. InvalidArgument for a datetime without a zone, and for anything else."""
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise InvalidArgument(
                f"{what}: expected a datetime with a zone, such as datetime.now(UTC); found a naive one"
            )
        return (value - _EPOCH) // _MICROSECOND
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidArgument(f"{what}: expected a datetime or microseconds UTC, found {type(value).__name__}")
    if not -_I64_MAX <= value <= _I64_MAX:
        raise InvalidArgument(f"{what}: microseconds UTC since 1970 have 64 bits; found {value}")
    return value
