"""What all parts of the face share: the gateway, the tenant, time, and where the streams lie.

The public methods are in the parts: `append_face` writes events, `read_face` reads them, `event_face` reads them typed,
`consumer_face` is consumer groups, `database_face` SQL, `projection_face` the rows of projections. `face` puts them
together.
"""

from __future__ import annotations

from vdb.client.gateway import Gateway
from vdb.client.snapshots import Snapshots
from vdb.client.stamps import Stamps
from vdb.client.values import check_number, check_text
from vdb.errors import InvalidArgument
from vdb.events.registry import REGISTRY, EventRegistry
from vdb.limits import STREAM_NAME_BYTES_MAX
from vdb.status import NodeStatus
from vdb.types import (
    GLOBAL_GROUP,
    U64_MAX,
    Consistency,
    DataClass,
    GroupId,
    Placement,
    Position,
    ReadLevel,
    Region,
    check_tenant_id,
)

LINEARIZABLE = Consistency.LINEARIZABLE


def data_class_of(value: DataClass | str) -> DataClass:
    """A data class from its label: 'phi', 'non-phi' or 'deidentified'."""
    if isinstance(value, DataClass):
        return value
    for data_class in DataClass:
        if data_class.label == value.lower():
            return data_class
    raise InvalidArgument(f"a data class is 'phi', 'non-phi' or 'deidentified'; found {value!r}")


def placement_of(data_class: DataClass, placement: Region | str) -> Placement:
    """Checked before anything is sent: PHI never leaves for the global group."""
    name = str(placement)
    return Placement(data_class, None if name == GLOBAL_GROUP else Region(name))


def check_name(name: str) -> None:
    size = len(check_text(name, "a stream's name"))
    if not 1 <= size <= STREAM_NAME_BYTES_MAX:
        raise InvalidArgument(f"a stream's name has 1 to {STREAM_NAME_BYTES_MAX} bytes; found {size}")


def read_level(consistency: Consistency | str, at_least: Position | str | None) -> ReadLevel:
    """What the two options of a read say together."""
    try:
        found = Consistency(consistency)
    except ValueError:
        raise InvalidArgument(f"a read's consistency is 'linearizable' or 'stale'; found {consistency!r}") from None
    if at_least is None:
        return found
    if found is Consistency.STALE:
        raise InvalidArgument("a read is either stale or at least at a position; found both")
    if isinstance(at_least, Position):
        return at_least
    check_text(at_least, "a position")
    return Position.parse(at_least)


def check_start(start: int) -> None:
    check_number(start, U64_MAX, "where to read from")


class FaceBase:
    """A gateway, and the tenant for which it is used."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        stamps: Stamps,
        tenant: int = 1,
        timeout: float = 30.0,
        registry: EventRegistry = REGISTRY,
    ) -> None:
        self._gateway = gateway
        self.stamps = stamps
        """Ids and times of new events."""
        self.registry = registry
        """The classes of events."""
        self.snapshots = Snapshots()
        """States of aggregates: a cache."""
        self.tenant = check_tenant_id(tenant)
        self.timeout = timeout
        """Seconds that a call may take unless it says otherwise."""
        self._groups: dict[str, GroupId] = {}
        """The group of each stream seen. A stream never moves."""
        self._region: str | None = None
        """Where the node is, once it was asked. A node never moves."""

    async def status(self, *, timeout: float | None = None) -> NodeStatus:
        """The node, its groups and its projections."""
        return await self._gateway.status(timeout=self._seconds(timeout))

    async def _group_of(self, stream: str, level: ReadLevel, timeout: float) -> GroupId:
        group = self._groups.get(stream)
        if group is None:
            group = (await self._gateway.get_stream(self.tenant, stream, level=level, timeout=timeout)).group
            self._groups[stream] = group
        return group

    async def _region_of_node(self, timeout: float | None) -> str:
        if self._region is None:
            self._region = (await self.status(timeout=timeout)).region
        return self._region

    def _seconds(self, timeout: float | None) -> float:
        seconds = self.timeout if timeout is None else timeout
        if seconds < 0:
            raise InvalidArgument(f"a timeout is 0 seconds or more; found {seconds}")
        return seconds
