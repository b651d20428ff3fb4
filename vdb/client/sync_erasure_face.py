"""The part of the blocking face by which data end."""

from __future__ import annotations

from functools import partial

from vdb.client.sync_base import SyncBase
from vdb.erasures import ErasureBegun, ErasureInfo, HoldInfo, Pruned, RetentionInfo
from vdb.types import DataClass, Region


class SyncErasureFace(SyncBase):
    """See `vdb.client.erasure_face.ErasureFace`."""

    def erase(
        self,
        subject: str,
        basis: str = "",
        *,
        dry_run: bool = False,
        group: Region | str = "",
        timeout: float | None = None,
    ) -> ErasureBegun:
        """Destroy the keys under which everything about a subject is sealed."""
        return self._run(partial(self._face.erase, subject, basis, dry_run=dry_run, group=group, timeout=timeout))

    def erasures(self, *, group: Region | str = "", timeout: float | None = None) -> list[ErasureInfo]:
        """What was erased, in order."""
        return self._run(partial(self._face.erasures, group=group, timeout=timeout))

    def wait_erased(self, erasure: int, *, group: Region | str = "", timeout: float | None = None) -> ErasureInfo:
        """Wait until every member has acknowledged."""
        return self._run(partial(self._face.wait_erased, erasure, group=group, timeout=timeout))

    def place_hold(
        self,
        reason: str,
        *,
        subject: str = "",
        stream: str = "",
        group: Region | str = "",
        timeout: float | None = None,
    ) -> int:
        """Nothing of a subject, or of streams, is erased until it is released."""
        return self._run(
            partial(self._face.place_hold, reason, subject=subject, stream=stream, group=group, timeout=timeout)
        )

    def release_hold(self, hold: int, reason: str, *, group: Region | str = "", timeout: float | None = None) -> None:
        """The hold holds no more."""
        self._run(partial(self._face.release_hold, hold, reason, group=group, timeout=timeout))

    def holds(self, *, group: Region | str = "", timeout: float | None = None) -> list[HoldInfo]:
        """All holds, released ones too."""
        return self._run(partial(self._face.holds, group=group, timeout=timeout))

    def set_retention(
        self,
        stream: str,
        days: int,
        *,
        data_class: DataClass | str = "phi",
        group: Region | str = "",
        timeout: float | None = None,
    ) -> None:
        """How long the events of a stream are kept; 0: no rule."""
        self._run(partial(self._face.set_retention, stream, days, data_class=data_class, group=group, timeout=timeout))

    def retention(self, *, group: Region | str = "", timeout: float | None = None) -> list[RetentionInfo]:
        """The rules that hold."""
        return self._run(partial(self._face.retention, group=group, timeout=timeout))

    def apply_retention(
        self, *, dry_run: bool = False, group: Region | str = "", timeout: float | None = None
    ) -> Pruned:
        """Erase what has expired, and prune the segments that hold nothing else."""
        return self._run(partial(self._face.apply_retention, dry_run=dry_run, group=group, timeout=timeout))
