"""What the gate answers: values for the RPC server, the embedded face and the simulator."""

from __future__ import annotations

from attrs import field, frozen

from vdb.projections.comparing import Difference
from vdb.projections.source import OpenedRun
from vdb.types import DataClass, GroupId, Position, StreamId
from vdb.values import fast_frozen


@fast_frozen(kw_only=True)
class StreamRange:
    """Where the events of one append went: offsets first_offset to next_offset - 1."""

    stream: str = field(repr=False)
    first_offset: int
    next_offset: int


@fast_frozen(kw_only=True)
class AppendResult:
    streams: tuple[StreamRange, ...]
    group: GroupId
    first_position: int
    next_position: int
    time: int
    """Microseconds UTC."""

    @property
    def position(self) -> Position:
        """What a projection must have applied up to, to show these events."""
        return Position(self.group, self.next_position)


@frozen(kw_only=True)
class ReadResult:
    runs: tuple[OpenedRun, ...]
    next_offset: int
    """Where to go on."""
    head: int
    """The stream's next offset when it was read."""


@frozen(kw_only=True)
class LogResult:
    runs: tuple[OpenedRun, ...]
    next_position: int
    """Where to go on."""
    head: int
    """The group's next position when it was read."""


@frozen(kw_only=True)
class StreamInfo:
    name: str = field(repr=False)
    stream: StreamId
    data_class: DataClass
    placement: str
    """A region's name, or 'global'."""
    next_offset: int
    created_at: int
    """Microseconds UTC."""


@frozen
class GroupHolders:
    """A group, and the addresses of the nodes that hold it, for clients."""

    group: GroupId
    addresses: tuple[str, ...]


@frozen(kw_only=True)
class RowDifferences:
    """How the rows built beside differ from those in use. The first differences, and the number of all."""

    differences: tuple[Difference, ...] = field(repr=False)
    count: int
    position_before: str
    position_after: str


@frozen(kw_only=True)
class RowsResult:
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...] = field(repr=False)
    position: str
