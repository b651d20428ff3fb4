"""The part of the face by which data end: erasures, legal holds, retention."""

from __future__ import annotations

import anyio

from vdb.client.face_base import FaceBase, data_class_of
from vdb.client.values import check_number, check_text
from vdb.erasures import ErasureBegun, ErasureInfo, HoldInfo, Pruned, RetentionInfo
from vdb.errors import InvalidArgument, Timeout
from vdb.types import U64_MAX, DataClass, Region

_U32_MAX = 2**32 - 1
_LOOK_SECONDS = 0.1


class ErasureFace(FaceBase):
    """All of it is a tenant's, in one group: a region, or 'global'; empty: the node's region."""

    async def erase(
        self,
        subject: str,
        basis: str = "",
        *,
        dry_run: bool = False,
        group: Region | str = "",
        timeout: float | None = None,
    ) -> ErasureBegun:
        """Destroy the keys under which everything about a subject is sealed. There is no way back.

        `basis`: the legal ground, in clear. `dry_run` changes nothing, and reports what would be erased and what stands
        against it. OnHold, SubjectErased. It is pending until each node's disk is rid of the keys: `erasures`,
        `wait_erased`.
        """
        check_text(subject, "a subject")
        check_text(basis, "the basis of an erasure")
        name = str(group) or await self._region_of_node(timeout)
        return await self._gateway.erasure.erase_subject(
            self.tenant, name, subject, basis, dry_run=dry_run, timeout=self._seconds(timeout)
        )

    async def erasures(self, *, group: Region | str = "", timeout: float | None = None) -> list[ErasureInfo]:
        """What was erased, in order: who has yet to acknowledge, or the certificate."""
        name = str(group) or await self._region_of_node(timeout)
        return await self._gateway.erasure.list_erasures(self.tenant, name, timeout=self._seconds(timeout))

    async def wait_erased(self, erasure: int, *, group: Region | str = "", timeout: float | None = None) -> ErasureInfo:
        """Wait until every member has acknowledged. Timeout, with the nodes that haven't."""
        pending: tuple[int, ...] = ()
        with anyio.move_on_after(self._seconds(timeout)):
            while True:
                found = [one for one in await self.erasures(group=group, timeout=timeout) if one.erasure == erasure]
                if not found:
                    raise InvalidArgument(f"tenant {self.tenant} has no erasure {erasure}")
                if found[0].certificate:
                    return found[0]
                pending = found[0].pending
                await anyio.sleep(_LOOK_SECONDS)
        raise Timeout(f"erasure {erasure} is pending: node {', '.join(map(str, pending))} hasn't acknowledged yet")

    async def place_hold(
        self,
        reason: str,
        *,
        subject: str = "",
        stream: str = "",
        group: Region | str = "",
        timeout: float | None = None,
    ) -> int:
        """Nothing of a subject, or of a stream (or PREFIX*; neither: all), is erased. The hold's number."""
        for text, what in ((reason, "a reason"), (subject, "a subject"), (stream, "a stream's name")):
            check_text(text, what)
        name = str(group) or await self._region_of_node(timeout)
        return await self._gateway.erasure.put_hold(
            self.tenant, name, subject, stream, reason, timeout=self._seconds(timeout)
        )

    async def release_hold(
        self, hold: int, reason: str, *, group: Region | str = "", timeout: float | None = None
    ) -> None:
        """The hold holds no more."""
        check_number(hold, U64_MAX, "a hold")
        check_text(reason, "a reason")
        name = str(group) or await self._region_of_node(timeout)
        await self._gateway.erasure.release_hold(self.tenant, name, hold, reason, timeout=self._seconds(timeout))

    async def holds(self, *, group: Region | str = "", timeout: float | None = None) -> list[HoldInfo]:
        """All holds, released ones too."""
        name = str(group) or await self._region_of_node(timeout)
        return await self._gateway.erasure.list_holds(self.tenant, name, timeout=self._seconds(timeout))

    async def set_retention(
        self,
        stream: str,
        days: int,
        *,
        data_class: DataClass | str = "phi",
        group: Region | str = "",
        timeout: float | None = None,
    ) -> None:
        """How long the events of a stream (or PREFIX*) are kept: not erased before, expired after. 0: no rule."""
        check_text(stream, "a stream's name")
        check_number(days, _U32_MAX, "days")
        name = str(group) or await self._region_of_node(timeout)
        await self._gateway.erasure.put_retention(
            self.tenant, name, stream, data_class_of(data_class), days, timeout=self._seconds(timeout)
        )

    async def retention(self, *, group: Region | str = "", timeout: float | None = None) -> list[RetentionInfo]:
        """The rules that hold."""
        name = str(group) or await self._region_of_node(timeout)
        return await self._gateway.erasure.list_retention(self.tenant, name, timeout=self._seconds(timeout))

    async def apply_retention(
        self, *, dry_run: bool = False, group: Region | str = "", timeout: float | None = None
    ) -> Pruned:
        """Erase what has expired, and prune the segments that hold nothing else. Proofs still hold."""
        name = str(group) or await self._region_of_node(timeout)
        return await self._gateway.erasure.prune(self.tenant, name, dry_run=dry_run, timeout=self._seconds(timeout))
