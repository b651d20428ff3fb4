"""Rotation of a group's keys, while it serves: what the doors do once the guard has let somebody through.

    begin:  the log says which root key wraps from now on          (one request)
    steps:  some tenants' keys each, and a new period for each      (one request a step)
    end:    the next checkpoint, so that no disk needs the old root key

Rules
- The rotation leads to the root key that is the first of those which this node, the primary, was given. All other nodes
  must have been given it before: one that lacks it applies nothing from there on, until it is given it. So no rotation
  to another root key begins before each member has said that it has it, unless whoever asks says that it shall.
- Where a rotation stands, the state says: whoever asks for the next step goes on with it, after a crash as well, and
  from another node. Asking for a step too many is harmless.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import trio

from vdb.audit.entry import AuditEntry
from vdb.errors import InvalidArgument, error_for_refusal
from vdb.kernel.command import INTERNAL
from vdb.kernel.reply import KeysRewrapped, PeriodStarted, Refusal, Reply
from vdb.kernel.tables import KEYS
from vdb.keys import KeyStatus, RotationStep
from vdb.limits import REWRAPPED_KEYS_MAX
from vdb.marks import mark
from vdb.node import log
from vdb.node.gate.reader import GroupReader
from vdb.node.keys.key_preparer import files_behind, needs_period
from vdb.node.keys.key_request import ROTATION_STEP_BYTES, KeyRequest, PlainPeriod, PlainRewrap, PlainRotation
from vdb.node.preparing.request import PlainVoid
from vdb.node.replication.group import Group
from vdb.types import GLOBAL_GROUP, GroupId, Region, TenantId, check_tenant_id

SETTLE_SECONDS_MAX = 1.0
"""No longer, as clients take a node that is silent for long for lost; another step goes on with it."""
SETTLE_STEP_SECONDS = 0.02
NO_TRANSACTION = 0
"""Voiding it changes nothing."""


async def _nobody_lacks(_group: Group, _target: bytes) -> list[str]:
    return []


class KeyRotation:
    """See the module's docstring. One per node."""

    def __init__(
        self,
        readers: Mapping[GroupId, GroupReader],
        region: Region,
        *,
        node: str,
        provider: str,
        refresh: Callable[[], Awaitable[None]],
        files_behind: Callable[[], int] = lambda: 0,
        lacking: Callable[[Group, bytes], Awaitable[list[str]]] = _nobody_lacks,
    ) -> None:
        """`refresh` takes root keys that the node was given since it started; `files_behind` counts files under an
        earlier key; `lacking` says which members lack a root key."""
        self.refresh = refresh
        self._lacking = lacking
        self._files_behind = files_behind
        self._readers = readers
        self._region = region
        self._node = node
        self._provider = provider

    def status(self, group: str) -> KeyStatus:
        """Of this node's copy of a group; empty: its region's."""
        found = self._group(group)
        state, keyring = found.state, found.keyring
        rotation = state.rotation()
        behind = len(self._behind(found))
        changed_at = 0 if rotation is None else rotation.changed_at
        return KeyStatus(
            node=self._node,
            group=found.name,
            provider=self._provider,
            root_key_id=self._root_key(found),
            given=keyring.roots.ids,
            tenants=len(keyring.tenant_rows()),
            behind=behind,
            keys=len(state.rows[KEYS]),
            began=0 if rotation is None else rotation.began_at,
            settled=not behind and not found.missing_root_key and found.checkpointer.clean_until >= changed_at,
            missing=found.missing_root_key,
            files=0 if found.name == GLOBAL_GROUP else self._files_behind(),
        )

    async def start_period(
        self, group: str, tenant: int, note: AuditEntry | None = None, *, rotation_id: bytes = b""
    ) -> RotationStep:
        """New data keys of one tenant from now on: once for an id. UnknownTenant."""
        found = self._group(group)
        reply = await self._commit(found, PlainPeriod(tenant=check_tenant_id(tenant), rotation_id=rotation_id), note)
        assert isinstance(reply, PeriodStarted)
        root_key_id = self.status(group).root_key_id
        return RotationStep(rewrapped=0, left=0, period=reply.period, root_key_id=root_key_id)

    async def rotate(
        self,
        group: str,
        maximum: int,
        *,
        begin: bool,
        rotation_id: bytes = b"",
        note: AuditEntry | None = None,
        force: bool = False,
    ) -> RotationStep:
        """One step; `maximum` tenants at most, 0 for as many as a step holds. InvalidArgument, NotPrimary.

        `begin`: another rotation begins before it, unless the last one isn't done, or was begun under this id. `force`:
        also where a member lacks the new root key, or doesn't say.
        """
        found = self._group(group)
        refusal = found.not_serving()
        if refusal is not None:
            raise refusal
        await self.refresh()
        await found.confirm()
        target = found.keyring.roots.current.key_id
        rotation = found.state.rotation()
        again = rotation is not None and rotation_id and rotation.rotation_id == rotation_id
        if again:
            mark("keys.begun_already")
        elif begin and (rotation is None or rotation.root_key_id != target or not self._behind(found)):
            if not force and self._root_key(found) != target:
                await self._check_members(found, target)
            await self._commit(found, PlainRotation(root_key_id=target, rotation_id=rotation_id), note)
            log.info("keys.rotation_begun", group=found.name, root_key=target.hex())
        elif rotation is None:
            raise InvalidArgument(f"no rotation of the keys of group {found.name} has begun: expected one, found none")
        return await self._step(found, maximum, note)

    async def _check_members(self, group: Group, target: bytes) -> None:
        lacking = await self._lacking(group, target)
        if lacking:
            mark("keys.members_lack_it")
            raise InvalidArgument(
                f"all nodes of group {group.name} must have the new root key before: expected {target.hex()} of each, "
                f"found {'; '.join(lacking)}. Give it to them, or begin with force: who lacks it applies nothing then"
            )

    def _root_key(self, group: Group) -> bytes:
        """The root key that the log goes by."""
        rotation = group.state.rotation()
        return group.keyring.roots.founding.key_id if rotation is None else rotation.root_key_id

    async def _step(self, group: Group, maximum: int, note: AuditEntry | None) -> RotationStep:
        most = min(maximum or REWRAPPED_KEYS_MAX, REWRAPPED_KEYS_MAX)
        room = group.limits.body_size_max // (2 * ROTATION_STEP_BYTES)
        todo: list[TenantId] = []
        files, rewrapped = 0, 0
        for tenant in self._behind(group)[:most]:
            own = len(group.keyring.file_rows(tenant))
            if todo and len(todo) + 1 + files + own > room:
                break
            todo.append(tenant)
            files += own
        if todo:
            reply = await self._commit(group, PlainRewrap(tenants=tuple(todo), files=files), note)
            assert isinstance(reply, KeysRewrapped)
            rewrapped = reply.count
        left = len(self._behind(group))
        rotation = group.state.rotation()
        assert rotation is not None
        if not left:
            await self._settle(group, rotation.changed_at)
            log.info("keys.rotated", group=group.name, root_key=rotation.root_key_id.hex())
        return RotationStep(rewrapped=rewrapped, left=left, period=0, root_key_id=rotation.root_key_id)

    def _behind(self, group: Group) -> list[TenantId]:
        """Tenants whose key is under another root key, or who still seal with data keys of before the rotation."""
        rotation = group.state.rotation()
        if rotation is None:
            return []
        return [
            row.tenant
            for row in group.keyring.tenant_rows()
            if row.kek_id != rotation.root_key_id
            or needs_period(group.state, row, rotation)
            or files_behind(group.state, group.keyring, row.tenant, rotation)
        ]

    async def _settle(self, group: Group, time: int) -> None:
        """Go on to the next checkpoint, which all members write at the same op: an idle group would not come to it.

        Where it takes too long (somebody copies the one before), `settled` says so until it is done.
        """
        with trio.move_on_after(SETTLE_SECONDS_MAX):
            while group.checkpointer.clean_until < time:
                if group.checkpointer.busy or group.checkpointer.written_until >= time:
                    await trio.sleep(SETTLE_STEP_SECONDS)
                else:
                    mark("keys.settling")
                    await self._commit(group, PlainVoid(transaction=NO_TRANSACTION), None)

    async def _commit(self, group: Group, request: KeyRequest | PlainVoid, note: AuditEntry | None) -> Reply:
        reply = await group.execute(request, INTERNAL, note=note)
        if isinstance(reply, Refusal):
            raise error_for_refusal(reply.code, reply.message)
        return reply

    def _group(self, name: str) -> Group:
        reader = self._readers.get(GroupId(name or self._region.name))
        if reader is None:
            raise InvalidArgument(f"this node has no group '{name}': expected one of {', '.join(self._readers)}")
        return reader.group
