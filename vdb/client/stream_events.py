"""Events of one stream within an append to several."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
from attrs import field, frozen

from vdb.errors import InvalidArgument
from vdb.kernel.command import Expected


def _events(value: Any) -> tuple[Any, ...]:
    if attrs.has(type(value)):  # one event, or a NewEvent
        return (value,)
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise InvalidArgument(f"the events of an append are a list; found {type(value).__name__}")
    return tuple(value)


@frozen
class StreamEvents:
    """New events of one stream, and a condition on its next offset."""

    stream: str
    events: tuple[Any, ...] = field(default=(), converter=_events, repr=False)
    """Instances of registered classes, or `NewEvent`s; one alone needs no list. None: only the condition counts."""
    expected: Expected | int | None = field(default=None, kw_only=True)
    """An int: exactly this next offset; `vdb.EMPTY`: no events yet; None: any."""
