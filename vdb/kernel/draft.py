"""A state in the making: what `apply` changes while it executes one request.

A draft is made from a `State`, changed by the rules, and frozen into the next `State`. It never outlives the call
that made it. It exists because a frozen value per row set would cost more than the request itself.
"""

from __future__ import annotations

from vdb.kernel.effect import Effect
from vdb.kernel.state import Keys, Rows, State
from vdb.kernel.tables import Table


class Draft:
    """`base` is the state before the request: rules that decide read it; effects and rows are collected here."""

    __slots__ = ("base", "changed", "effects", "last_timestamp", "next_position", "next_session", "rows")

    def __init__(self, base: State, timestamp: int) -> None:
        """Timestamps are microseconds UTC and strictly increase from request to request."""
        assert timestamp > base.last_timestamp, f"expected a time above {base.last_timestamp}, found {timestamp}"
        self.base = base
        self.next_position = base.next_position
        self.last_timestamp = timestamp
        self.next_session = base.next_session
        self.rows: list[Rows] = list(base.rows)
        self.changed: list[Keys] = list(base.changed)
        self.effects: list[Effect] = []

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        rows = self.rows
        rows[table] = rows[table].set(key, value)
        self._note(table, key)

    def remove(self, table: Table, key: bytes) -> None:
        """The row must be there."""
        self.rows[table] = self.rows[table].delete(key)
        self._note(table, key)

    def _note(self, table: Table, key: bytes) -> None:
        keys = self.changed[table]
        if key not in keys:
            self.changed[table] = keys.set(key, None)

    def freeze(self) -> State:
        base = self.base
        return State(
            group=base.group,
            sessions_max=base.sessions_max,
            next_position=self.next_position,
            last_timestamp=self.last_timestamp,
            next_session=self.next_session,
            rows=tuple(self.rows),
            changed=tuple(self.changed),
        )
