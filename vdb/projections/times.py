"""Clinical times: ISO 8601 text to microseconds UTC, so that times of different zones have an order.

Rules
- Dates cut short, as FHIR allows (`1958`, `1958-07`, `1958-07-12`), stand for their first moment.
- A time without a zone is read as UTC.
- Any zone and year from 1 to 9999 is exact; nothing depends on the machine's own zone.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_SHAPE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:?\d\d)?)?)?)?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


def parse_time(text: str) -> int | None:
    """Microseconds UTC, or None when the text isn't a time. A leap second counts as the second after."""
    found = _SHAPE.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0))
    except ValueError:
        return None
    seconds = int(second or 0)
    if seconds > 60:
        return None
    microseconds = (moment - _EPOCH) // _MICROSECOND + 1_000_000 * seconds + int((fraction or "")[:6].ljust(6, "0"))
    if zone is None or zone == "Z":
        return microseconds
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 14 or minutes > 59:
        return None
    offset = 60_000_000 * (60 * hours + minutes)
    return microseconds - offset if zone[0] == "+" else microseconds + offset
