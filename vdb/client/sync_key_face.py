"""The part of the blocking face that is about keys."""

from __future__ import annotations

from functools import partial

from vdb.client.sync_base import SyncBase
from vdb.keys import KeyReport, RotationStep
from vdb.types import Region


class SyncKeyFace(SyncBase):
    """Rotation of keys. See `AsyncFace`."""

    def rotate_keys(
        self,
        group: Region | str = "",
        *,
        begin: bool = True,
        rotation_id: bytes = b"",
        maximum: int = 0,
        force: bool = False,
        timeout: float | None = None,
    ) -> RotationStep:
        """One step of a rotation to the root key that is the first of those given to the nodes."""
        rotate = partial(self._face.rotate_keys, group, begin=begin, rotation_id=rotation_id, maximum=maximum)
        return self._run(partial(rotate, force=force, timeout=timeout))

    def start_key_period(self, group: Region | str = "", *, timeout: float | None = None) -> RotationStep:
        """New data keys for all that is sealed of the tenant from now on."""
        return self._run(partial(self._face.start_key_period, group, timeout=timeout))

    def key_status(self, group: Region | str = "", *, timeout: float | None = None) -> list[KeyReport]:
        """What each node that holds the group says of its keys."""
        return self._run(partial(self._face.key_status, group, timeout=timeout))
