"""The part of the face that is about keys: their rotation, and where it stands."""

from __future__ import annotations

from vdb.client.face_base import FaceBase
from vdb.client.values import check_number
from vdb.keys import KeyReport, RotationStep
from vdb.types import Region

_U32_MAX = 2**32 - 1


class KeyFace(FaceBase):
    """Groups are a region, or 'global'; empty: the node's region."""

    async def rotate_keys(
        self,
        group: Region | str = "",
        *,
        begin: bool = True,
        rotation_id: bytes = b"",
        maximum: int = 0,
        force: bool = False,
        timeout: float | None = None,
    ) -> RotationStep:
        """One step of a rotation to the root key that is the first of those given to the nodes. Online.

        `begin`: another rotation begins, unless one to this root key isn't done: then it goes on. `maximum`: tenants in
        this step, 0 for as many as one holds. Repeat it with `begin=False` until nothing is `left`.

        `rotation_id`: 16 bytes that name the rotation. Who doesn't know how an attempt ended repeats it under the same
        id: the rotation begins once. Without it, this holds within one call alone.

        InvalidArgument while a member of the group lacks the new root key, or doesn't say; `force`: then, too. Who
        lacks it applies nothing from there on, until it is given it.
        """
        check_number(maximum, _U32_MAX, "a number of tenants")
        name = str(group) or await self._region_of_node(timeout)
        return await self._gateway.keys.rotate(
            0, name, maximum, begin=begin, rotation_id=rotation_id, force=force, timeout=self._seconds(timeout)
        )

    async def start_key_period(self, group: Region | str = "", *, timeout: float | None = None) -> RotationStep:
        """New data keys for all that is sealed of the tenant from now on. UnknownTenant."""
        name = str(group) or await self._region_of_node(timeout)
        return await self._gateway.keys.rotate(
            self.tenant, name, 0, begin=False, rotation_id=b"", force=False, timeout=self._seconds(timeout)
        )

    async def key_status(self, group: Region | str = "", *, timeout: float | None = None) -> list[KeyReport]:
        """What each node that holds the group says of its keys."""
        name = str(group) or await self._region_of_node(timeout)
        return await self._gateway.keys.statuses(name, timeout=self._seconds(timeout))
