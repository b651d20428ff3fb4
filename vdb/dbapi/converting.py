"""Values on their way from SQLite: converters by declared type or by column name, and the text factory.

A converter gets the bytes of the value, as SQLite would write it as text; NULL stays None. Which columns have one is
found from the description of the result, once for each description.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from math import isfinite
from typing import Any

from vdb.dbapi.constants import PARSE_COLNAMES, PARSE_DECLTYPES

Converter = Callable[[bytes], Any]
Plan = tuple[Converter | None, ...]
Row = tuple[Any, ...]
Description = tuple[tuple[Any, ...], ...]

converters: dict[str, Converter] = {}
"""By name in capitals."""


def register_converter(name: str, converter: Converter, /) -> None:
    """Have `converter` make the values of columns of this declared type, or that name it as `"column [name]"`."""
    converters[name.upper()] = converter


def plan_of(description: Description | None, detect_types: int) -> Plan | None:
    """The converter of each column; None if no column has one."""
    if description is None or not converters:
        return None
    plan = tuple(_converter_of(column, detect_types) for column in description)
    return plan if any(each is not None for each in plan) else None


def converted(row: Row, plan: Plan) -> Row:
    """The row with its converters applied."""
    return tuple(
        value if converter is None or value is None else _convert(value, converter)
        for value, converter in zip(row, plan, strict=True)
    )


def plain_description(description: Description | None, detect_types: int) -> Description | None:
    """The description as a program sees it: names alone, without what they say of converters."""
    if description is None:
        return None
    names = (column[0] for column in description)
    if detect_types & PARSE_COLNAMES:
        names = (name.partition(" [")[0] if isinstance(name, str) else name for name in names)
    return tuple((name, None, None, None, None, None, None) for name in names)


def _converter_of(column: tuple[Any, ...], detect_types: int) -> Converter | None:
    name, declared = column[0], column[1]
    if detect_types & PARSE_COLNAMES and isinstance(name, str) and "[" in name:
        key = name.partition("[")[2].partition("]")[0]
        found = converters.get(key.upper())
        if found is not None:
            return found
    if detect_types & PARSE_DECLTYPES and declared:
        key = declared.partition("(")[0].partition(" ")[0]
        return converters.get(key.upper())
    return None


def _convert(value: Any, converter: Converter) -> Any:
    data = as_bytes(value)
    # SQLite has no pointer to a value without bytes, so sqlite3 has no value to convert either.
    return converter(data) if data or isinstance(value, str) else None


def as_bytes(value: Any) -> bytes:
    """The bytes of a value as SQLite would cast it to text; those of a blob as they are."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, float):
        return _float_text(value)
    return bytes(value)


def _float_text(value: float) -> bytes:
    """As SQLite writes it, with as few digits as give the same number again."""
    text = repr(value)
    if not isfinite(value):
        return text.capitalize().replace("-i", "-I").encode()
    digits, mark, exponent = text.partition("e")
    return (digits if "." in digits else digits + ".0").encode() + (mark + exponent).encode()


def _convert_date(value: bytes) -> datetime.date:
    return datetime.date(*map(int, value.split(b"-")))


def _convert_timestamp(value: bytes) -> datetime.datetime:
    date, time = value.split(b" ")
    year, month, day = map(int, date.split(b"-"))
    clock, _, fraction = time.partition(b".")
    hours, minutes, seconds = map(int, clock.split(b":"))
    microseconds = int(fraction.decode().ljust(6, "0")[:6]) if fraction else 0
    return datetime.datetime(year, month, day, hours, minutes, seconds, microseconds)


register_converter("date", _convert_date)
register_converter("timestamp", _convert_timestamp)
