"""Carries policies from the global group's log into the region's.

The primary of a region's group looks at what its own node knows of the global group, and proposes the copy: serial,
version, text and author as they stand there. Where it holds no member of the global group, members of the region that
do tell it. A copy that falls behind, as the region was cut off, is followed by the newest one alone: serials rise, but
may leave some out.

Rules
- Nothing else ever proposes a policy in a region's group.
- What another member tells is believed as far as its text has the version that it says. Members have shown that they
  are nodes of the cluster.
- Whatever fails is tried again, by this primary or the next: a copy that is proposed twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import trio

from vdb.audit.entry import AuditEntry, Kind
from vdb.errors import ConfigError, DefiniteError, PrimaryLost
from vdb.kernel.command import INTERNAL
from vdb.kernel.governance import held_policy, policy_serial
from vdb.kernel.governance_rows import PolicyRow
from vdb.kernel.reply import Refusal
from vdb.marks import mark
from vdb.node import log
from vdb.node.governance.governance_request import PlainPolicy
from vdb.node.replication.group import Group
from vdb.policy.file import parse_policy
from vdb.policy.words import Action
from vdb.types import GLOBAL_GROUP, GroupId
from vdb.vsr.message import PolicyMessage

LOOK_SECONDS = 1.0
"""How often it looks whether there is something to carry, or to tell, that nothing has woken it for."""


class PolicyCarrier:
    """See the module's docstring. One per node."""

    def __init__(self, groups: Mapping[GroupId, Group]) -> None:
        self._source = groups.get(GLOBAL_GROUP)
        """None: this node holds no member of the global group."""
        self._regions = [group for name, group in groups.items() if name != GLOBAL_GROUP]
        self._told: dict[GroupId, PolicyRow] = {}
        """The newest policy that other members of a region have told of."""
        self._wake = trio.Event()
        for region in self._regions:
            region.on_policy = partial(self._on_policy, region)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._source is not None:
                nursery.start_soon(self._watch, self._source)
            task_status.started()
            while True:
                with trio.move_on_after(LOOK_SECONDS):
                    await self._wake.wait()
                self._wake = trio.Event()
                for region in self._regions:
                    await self._bring(region)

    async def _watch(self, source: Group) -> None:
        """Wake when the global group goes by another policy."""
        seen = 0
        while True:
            await source.wait_until(lambda: policy_serial(source.state) > seen)  # noqa: B023
            seen = policy_serial(source.state)
            self._wake.set()

    async def _bring(self, region: Group) -> None:
        """Let a region that is behind catch up: by its log, or by a word to its primary."""
        row = self._newer(region)
        if row is None:
            return
        if region.is_serving:
            await self._carry(row, region)
        elif self._source is not None and region.replica.primary != region.replica.replica:
            mark("policy.told")
            region.send(region.replica.primary, _message(row, region.replica.replica))

    def _newer(self, region: Group) -> PolicyRow | None:
        """The newest policy that is known here, if the region goes by an older one."""
        held, told = policy_serial(region.state), self._told.get(region.name)
        if told is not None and told.serial <= held:
            del self._told[region.name]
            told = None
        own = 0 if self._source is None else policy_serial(self._source.state)
        if own > max(held, 0 if told is None else told.serial):
            assert self._source is not None
            return held_policy(self._source.state)
        return told

    async def _carry(self, row: PolicyRow, region: Group) -> None:
        try:
            reply = await region.execute(_copy(row), INTERNAL, note=_note(row))
        except (DefiniteError, PrimaryLost):
            mark("policy.carried_later")
            return
        if isinstance(reply, Refusal):
            # A primary before this one has carried a later one.
            mark("policy.carried_already")
            return
        mark("policy.carried")
        log.info("policy.carried", group=region.name, serial=row.serial, version=row.version)

    def _on_policy(self, region: Group, message: PolicyMessage) -> None:
        """Another member of a region tells which policy the global group goes by."""
        known = self._told.get(region.name)
        least = max(policy_serial(region.state), 0 if known is None else known.serial)
        if message.serial <= least:
            return
        try:
            version = parse_policy(message.text)[0].version
        except ConfigError:
            version = ""
        if version != message.version:
            mark("policy.told_wrongly")
            log.warning("policy.told_wrongly", group=region.name, peer=message.replica, serial=message.serial)
            return
        self._told[region.name] = PolicyRow(
            serial=message.serial, version=message.version, by=message.by, applied_at=0, text=message.text
        )
        self._wake.set()


def _copy(row: PolicyRow) -> PlainPolicy:
    return PlainPolicy(serial=row.serial, version=row.version, text=row.text, by=row.by)


def _message(row: PolicyRow, replica: int) -> PolicyMessage:
    return PolicyMessage(serial=row.serial, version=row.version, by=row.by, text=row.text, replica=replica)


def _note(row: PolicyRow) -> AuditEntry:
    return AuditEntry(
        kind=Kind.POLICY,
        action=Action.POLICY.value,
        actor=row.by,
        credential="node",
        policy=row.version,
        detail={"serial": str(row.serial)},
    )
