"""States of aggregates that were folded before: a cache in this process's memory, and nothing else.

A state that is here is gone on from, one that isn't is folded anew. What is kept is a copy and so is what is given out:
nobody's changes reach into it.

Of PHI nothing is kept: whoever looks at a chart again reads it again, which is written down, and what was erased is
nowhere.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from copy import deepcopy
from typing import Any

SNAPSHOTS_MAX = 1000
SNAPSHOT_EVENTS_MIN = 16
"""A state that took fewer events isn't kept: folding them again costs less than copying it."""


class Snapshots:
    """The states used last, by class and stream. Offsets never change what lies before them, so none goes stale."""

    def __init__(self) -> None:
        self._states: OrderedDict[tuple[type[Any], str], tuple[int, Any]] = OrderedDict()

    def find(self, cls: type[Any], stream: str, most: int | None) -> tuple[int, Any] | None:
        """The next offset and a copy of the state there, of at most `most` events."""
        held = self._states.get((cls, stream))
        return None if held is None or (most is not None and held[0] > most) else (held[0], deepcopy(held[1]))

    def keep(self, cls: type[Any], stream: str, next_offset: int, state: Any) -> None:
        """Remember a copy of a state, unless a newer one is there."""
        held = self._states.pop((cls, stream), None)
        if held is not None and held[0] >= next_offset:
            self._states[cls, stream] = held
        elif next_offset >= SNAPSHOT_EVENTS_MIN:
            with suppress(Exception):  # a state that can't be copied (it may hold a lock) is folded each time
                self._states[cls, stream] = (next_offset, deepcopy(state))
        if len(self._states) > SNAPSHOTS_MAX:
            self._states.popitem(last=False)

    def clear(self) -> None:
        """Forget all of them."""
        self._states.clear()
