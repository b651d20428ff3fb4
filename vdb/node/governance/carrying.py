"""Carries policies from the global group's log into the region's.

The primary of a region's group looks at what its own node knows of the global group, and proposes the copy: serial,
version, text and author as they stand there. A copy that falls behind, as the region was cut off, is followed by the
newest one alone: serials rise, but may leave some out.

Rules
- Nothing else ever proposes a policy in a region's group.
- Whatever fails is tried again, by this primary or the next: a copy that is proposed twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import trio

from vdb.audit.entry import AuditEntry, Kind
from vdb.errors import DefiniteError, PrimaryLost
from vdb.kernel.command import INTERNAL
from vdb.kernel.governance import held_policy, policy_serial
from vdb.kernel.governance_rows import PolicyRow
from vdb.kernel.reply import Refusal
from vdb.kernel.tables import POLICY
from vdb.marks import mark
from vdb.node import log
from vdb.node.governance.governance_request import PlainPolicy
from vdb.node.replication.group import Group
from vdb.policy.words import Action
from vdb.types import GLOBAL_GROUP, GroupId

LOOK_SECONDS = 1.0
"""How often it looks whether this node has become a primary that has something to carry."""


class PolicyCarrier:
    """See the module's docstring. One per node."""

    def __init__(self, groups: Mapping[GroupId, Group]) -> None:
        self._source = groups.get(GLOBAL_GROUP)
        self._regions = [group for name, group in groups.items() if name != GLOBAL_GROUP]

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. A node without a member of the global group has nothing to carry."""
        task_status.started()
        source = self._source
        if source is None:
            return
        while True:
            with trio.move_on_after(LOOK_SECONDS):
                await source.wait_until(lambda: any(self._is_behind(region) for region in self._regions))
            for region in self._regions:
                if self._is_behind(region) and not await self._carry(source, region):
                    await trio.sleep(LOOK_SECONDS)

    def _is_behind(self, region: Group) -> bool:
        assert self._source is not None
        if self._source.state.rows[POLICY] is region.state.rows[POLICY]:
            return False
        return region.is_serving and policy_serial(self._source.state) > policy_serial(region.state)

    async def _carry(self, source: Group, region: Group) -> bool:
        row = held_policy(source.state)
        assert row is not None
        try:
            reply = await region.execute(_copy(row), INTERNAL, note=_note(row))
        except (DefiniteError, PrimaryLost):
            mark("policy.carried_later")
            return False
        if isinstance(reply, Refusal):
            # A primary before this one has carried a later one.
            mark("policy.carried_already")
            return False
        mark("policy.carried")
        log.info("policy.carried", group=region.name, serial=row.serial, version=row.version)
        return True


def _copy(row: PolicyRow) -> PlainPolicy:
    return PlainPolicy(serial=row.serial, version=row.version, text=row.text, by=row.by)


def _note(row: PolicyRow) -> AuditEntry:
    return AuditEntry(
        kind=Kind.POLICY,
        action=Action.POLICY.value,
        actor=row.by,
        credential="node",
        policy=row.version,
        detail={"serial": str(row.serial)},
    )
