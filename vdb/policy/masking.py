"""What is shown of a value instead of it, where rows aren't asked for by SQL. `vdb.sql.restricting` says it in SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vdb.policy.words import Mask

SHOWN = "***"
LAST_FOUR_OF = 8
"""Characters that a value has at least of which the last four are shown: of shorter ones they would be most."""

_DATE = re.compile(r"([0-9]{4})(-[0-9][0-9].*)?", re.DOTALL)


def mask_of(masks: Mapping[str, Mask], table: str, column: str) -> Mask | None:
    """A rule's mask of a column, which it names plainly or as `table.column`, in upper or lower case."""
    folded = {name.lower(): mask for name, mask in masks.items()}
    return folded.get(f"{table}.{column}".lower(), folded.get(column.lower()))


def masked_value(mask: Mask, value: object) -> object:
    """What is shown of a value."""
    if value is None or mask is Mask.HIDE:
        return None
    if mask is Mask.REDACT:
        return SHOWN
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    if mask is Mask.YEAR:
        found = _DATE.fullmatch(text)
        return None if found is None else found[1]
    return SHOWN if len(text) < LAST_FOUR_OF else SHOWN + text[-4:]
