"""The guard of keys: their rotation, and where it stands."""

from __future__ import annotations

from vdb.audit.entry import Kind
from vdb.keys import KeyStatus, RotationStep
from vdb.node.gate.guard_base import GuardBase
from vdb.policy.words import Action
from vdb.types import SYSTEM_TENANT, DataClass


class KeyGuard(GuardBase):
    """See the module's docstring. Each step of a rotation goes with its entry in one prepare."""

    async def rotate_keys(
        self,
        tenant: int,
        group: str,
        maximum: int,
        *,
        begin: bool,
        rotation_id: bytes = b"",
        force: bool = False,
    ) -> RotationStep:
        """`KeyRotation.rotate`, or `start_period` of one tenant."""
        permit = await self.permit(
            Action.KEYS, tenant or SYSTEM_TENANT, DataClass.NON_PHI, group=group, door="rotateKeys"
        )
        keys = self.service.keys
        if tenant:
            note = permit.entry(Kind.KEY, detail={"period": "next"})
            return await keys.start_period(group, tenant, note, rotation_id=rotation_id)
        detail = {"rotation": "begin" if begin else "step"} | ({"force": "true"} if force else {})
        note = permit.entry(Kind.KEY, detail=detail)
        return await keys.rotate(group, maximum, begin=begin, rotation_id=rotation_id, note=note, force=force)

    async def key_status(self, group: str) -> KeyStatus:
        """`KeyRotation.status`. It names no key but by its id, and no tenant."""
        await self.permit_any((Action.KEYS, Action.STATUS), SYSTEM_TENANT, group=group, door="keyStatus")
        await self.service.keys.refresh()
        return self.service.keys.status(group)
