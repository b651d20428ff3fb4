"""What carries calls that change projections: an RPC connection, or a node in the same process. See
`vdb.client.gateway`. A node answers for its own files: each node of a cluster has projections of its own.
"""

from __future__ import annotations

from typing import Protocol

from attrs import field, frozen

from vdb.client.values import SqlValue
from vdb.types import Position

Cells = tuple[SqlValue, ...]


@frozen(kw_only=True)
class RowDifference:
    """A row that isn't the same in the rows in use and in those that were built beside."""

    table: str
    key_columns: tuple[str, ...]
    key: Cells = field(repr=False)
    columns: tuple[str, ...]
    before: Cells | None = field(repr=False)
    """As the rows in use have it; None: they don't."""
    after: Cells | None = field(repr=False)


@frozen(kw_only=True)
class RowDifferences:
    """The first differences, in the order of tables and keys, and how many there are."""

    differences: tuple[RowDifference, ...] = field(repr=False)
    count: int
    position_before: tuple[Position, ...]
    """Where the rows in use stood; with `position_after`, the same where both could move."""
    position_after: tuple[Position, ...]


@frozen(kw_only=True)
class ParkedEvent:
    """An event that a projection passed over because its handler failed."""

    position: Position
    stream: str = field(repr=False)
    type: str
    key: str = field(repr=False)
    """Whose later events wait behind it; empty: nobody's."""
    error: str
    attempts: int
    waiting: int
    """Events that wait behind it."""
    skipped: bool
    """It was skipped for good."""


class ProjectionLine(Protocol):
    async def rebuild(self, tenant: int, projection: str, *, hold: bool, timeout: float) -> None: ...

    async def switch(self, tenant: int, projection: str, *, back: bool, timeout: float) -> int:
        """The generation that is in use then."""

    async def diff(self, tenant: int, projection: str, maximum: int, *, timeout: float) -> RowDifferences: ...

    async def parked(self, tenant: int, projection: str, maximum: int, *, timeout: float) -> list[ParkedEvent]: ...

    async def settle(self, tenant: int, projection: str, position: str, *, drop: bool, timeout: float) -> int:
        """How many events were tried again with success, or dropped. No position: all there are."""
