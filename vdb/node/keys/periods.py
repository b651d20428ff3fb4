"""Starts a new period of each tenant's data keys once the last one is old enough: what retention destroys is a period.

The group's primary looks, by the log's time. Two that look at once do no harm: the second period is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

import trio

from vdb.errors import DefiniteError, PrimaryLost
from vdb.kernel.command import INTERNAL, KeyScope
from vdb.marks import mark
from vdb.node import log
from vdb.node.gate.reader import GroupReader
from vdb.node.keys.key_request import PlainPeriod
from vdb.node.replication.group import Group
from vdb.types import GroupId, TenantId

LOOK_SECONDS = 600.0
"""Between two looks."""
_DAY_US = 86_400 * 1_000_000
_AT_ONCE = 500
"""Tenants that are looked at before others have a turn."""


class Periods:
    """`run` it as long as the node serves. `days`: of a period; 0: none ends by itself."""

    def __init__(self, readers: Mapping[GroupId, GroupReader], days: int) -> None:
        self._readers = readers
        self._days = days

    async def run(self) -> None:
        while self._days:
            await trio.sleep(LOOK_SECONDS)
            for reader in self._readers.values():
                if reader.group.is_serving:
                    await self._start_due(reader.group)

    async def _start_due(self, group: Group) -> None:
        for number, tenant_state in enumerate(group.state.tenants(), 1):
            if self._is_due(group, tenant_state.tenant):
                try:
                    await group.execute(PlainPeriod(tenant=tenant_state.tenant), INTERNAL)
                except (DefiniteError, PrimaryLost) as error:
                    log.warning(
                        "keys.no_new_period", group=group.name, tenant=tenant_state.tenant, reason=log.reason(error)
                    )
                    return
                mark("keys.period_started")
            elif number % _AT_ONCE == 0:
                await trio.lowlevel.checkpoint()

    def _is_due(self, group: Group, tenant: TenantId) -> bool:
        period = group.state.key_period(tenant)
        if period:
            began = group.state.period_began(tenant, period)
        else:
            row = group.keyring.row(tenant, KeyScope.TENANT)
            if row is None or group.state.key(row.dek_id) is None:
                return False
            began = group.state.key_put_at(row.dek_id)
        return group.time_us - began >= self._days * _DAY_US
