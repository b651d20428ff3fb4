"""How old events are: the oldest one that a projection hasn't applied, and the tenant's last one.

A lag of nothing looks the same whether all is well or nobody can append any more: the last event's age tells them
apart. Times are those of the ops, in the groups' logs.
"""

from __future__ import annotations

from collections.abc import Mapping

from vdb.node.gate.reader import GroupReader
from vdb.node.gate.records import checked_record
from vdb.types import GroupId, TenantId

_REMEMBERED_MAX = 10_000


class Ages:
    """One per node. Remembers the time of each tenant's last event, which is asked for again and again."""

    def __init__(self, readers: Mapping[GroupId, GroupReader]) -> None:
        self._readers = readers
        self._last: dict[tuple[TenantId, GroupId], tuple[int, int]] = {}

    async def of_unapplied(self, tenant: TenantId, positions: Mapping[GroupId, int]) -> int:
        """Microseconds since the oldest event at or beyond these positions was appended; 0 if there is none."""
        times: list[int] = []
        for group, position in positions.items():
            reader = self._readers.get(group)
            if reader is not None and reader.group.state.tenant_head(tenant) > position:
                times.append(await _time_at(reader, tenant, position))
        return max(1, self._now() - min(times)) if times else 0

    async def of_last(self, tenant: TenantId, *, look: bool = True) -> int | None:
        """Microseconds since the tenant's last event was appended; None where there is none.

        Without `look` no log is read: None, too, where the time isn't remembered.
        """
        times = [await self._last_time(reader, tenant, look) for reader in self._readers.values()]
        found = [time for time in times if time is not None]
        return max(0, self._now() - max(found)) if found else None

    async def _last_time(self, reader: GroupReader, tenant: TenantId, look: bool) -> int | None:
        head = reader.group.state.tenant_head(tenant)
        if head == 0:
            return None
        known = self._last.get((tenant, reader.group.name))
        if known is not None and known[0] == head:
            return known[1]
        if not look:
            return None
        time = await _time_at(reader, tenant, head - 1)
        if len(self._last) >= _REMEMBERED_MAX:
            self._last.clear()
        self._last[tenant, reader.group.name] = (head, time)
        return time

    def _now(self) -> int:
        return next(iter(self._readers.values())).group.world.clock.wall_us()


async def _time_at(reader: GroupReader, tenant: TenantId, position: int) -> int:
    """When the event at a position, or the tenant's next one, was appended."""
    frames = await reader.group.event_log.read_log(tenant, position, 1)
    assert frames, f"the log has no frame at or beyond position {position}, below the tenant's last event"
    return checked_record(frames[0], tenant=tenant, group=reader.group.name).header.time
