"""The node's log as one projection sees it: the tenant's committed events of the streams that it reads, opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import trio

from vdb.node.gate.mending import until_mended
from vdb.node.gate.reader import GroupReader
from vdb.node.signals import Signals
from vdb.projections.source import OpenedRun
from vdb.types import GroupId, TenantId

FOLLOW_SECONDS = 0.005
"""How far, about, a projection lets the log get ahead. Each step has a cost of its own (a read, a transaction); taken
for each op, the steps of three projections took half of a busy node's time."""


class NodeSource:
    """Implements `vdb.projections.source.EventSource` over the readers of all groups."""

    def __init__(
        self,
        readers: Mapping[GroupId, GroupReader],
        appended: Signals,
        wants: Callable[[str], bool],
        patience: float = FOLLOW_SECONDS,
    ) -> None:
        self._readers = readers
        self._appended = appended
        self._wants = wants
        self._patience = patience

    def groups(self) -> Sequence[GroupId]:
        return tuple(self._readers)

    def head(self, tenant: TenantId, group: GroupId) -> int:
        return self._readers[group].group.state.tenant_head(tenant)

    async def read_log(
        self, tenant: TenantId, group: GroupId, from_position: int, max_events: int
    ) -> tuple[Sequence[OpenedRun], int]:
        if self.head(tenant, group) <= from_position:
            return (), max(from_position, self._readers[group].group.state.next_position)
        reader = self._readers[group]
        read = partial(reader.read_wanted, tenant, from_position, max_events, self._wants)
        return await until_mended(reader.group, read)

    async def wait_for_events(self, tenant: TenantId, positions: Mapping[GroupId, int]) -> None:
        """Return when a group holds an event of the tenant at or beyond its position here.

        Then it waits a little, so that under load a projection reads many events at once and not an op's worth.
        """
        while all(self.head(tenant, group) <= position for group, position in positions.items()):
            await self._appended.next(tenant).wait()
        await trio.sleep(self._patience)
