"""The guard of what ends data: erasures, holds, retention.

What is done goes with its entry in one prepare; what tells of subjects is answered once its entry has committed.
"""

from __future__ import annotations

from msgspec.structs import replace

from vdb.audit.entry import ALL_SUBJECTS, AuditEntry, Kind, Outcome
from vdb.erasures import ErasureBegun, ErasureInfo, HoldInfo, Pruned, RetentionInfo
from vdb.errors import OnHold
from vdb.node.gate.guard_base import GuardBase
from vdb.node.gate.permit import named_subjects
from vdb.policy.words import Action
from vdb.types import DataClass

_LISTING = (Action.ERASE, Action.AUDIT)
_ERASURES = "$erasures"
_HOLDS = "$holds"
_RETENTION = "$retention"
"""Stand for what is asked for, in requests and entries."""


class ErasureGuard(GuardBase):
    """See the module's docstring."""

    async def erase_subject(self, tenant: int, group: str, subject: str, basis: str, *, dry_run: bool) -> ErasureBegun:
        """`Erasing.erase`. One that a hold or a retention stands against is written down as refused."""
        permit = await self.permit(
            Action.ERASE, tenant, DataClass.PHI, group=group, stream=_ERASURES, subject=subject, door="eraseSubject"
        )
        erasing, by = self.service.erasing, self.caller.principal.name
        if dry_run:
            found = await erasing.erase(tenant, group, subject, basis, dry_run=True, by=by)
            await self.acted(permit, Kind.ERASE, subjects=(subject,), detail={"dry-run": "true"})
            return found
        note = permit.entry(Kind.ERASE, subjects=(subject,), detail={"basis": basis})
        try:
            return await erasing.erase(tenant, group, subject, basis, dry_run=False, by=by, note=note)
        except OnHold as error:
            await self.record(permit, replace(note, outcome=Outcome.REFUSED, code=error.code.value))
            raise

    async def list_erasures(self, tenant: int, group: str) -> list[ErasureInfo]:
        """`Erasing.list_erasures`. It names nobody."""
        await self.permit_any(_LISTING, tenant, group=group, stream=_ERASURES, door="listErasures")
        return await self.service.erasing.list_erasures(tenant, group)

    async def put_hold(self, tenant: int, group: str, subject: str, stream: str, reason: str) -> int:
        """`Erasing.put_hold`."""
        permit = await self.permit(
            Action.ERASE, tenant, DataClass.PHI, group=group, stream=_HOLDS, subject=subject, door="putHold"
        )
        note = permit.entry(
            Kind.HOLD,
            reason=reason,
            subjects=(subject,) if subject else ALL_SUBJECTS,
            detail={"places": stream or subject or "all"} if not subject else {"places": "subject"},
        )
        return await self.service.erasing.put_hold(tenant, group, subject, stream, reason, note)

    async def release_hold(self, tenant: int, group: str, hold: int, reason: str) -> None:
        """`Erasing.release_hold`."""
        subject = self.service.erasing.subject_of_hold(tenant, group, hold)
        permit = await self.permit(
            Action.ERASE, tenant, DataClass.PHI, group=group, stream=_HOLDS, subject=subject, door="releaseHold"
        )
        note = permit.entry(
            Kind.HOLD, reason=reason, subjects=(subject,) if subject else ALL_SUBJECTS, detail={"releases": str(hold)}
        )
        await self.service.erasing.release_hold(tenant, group, hold, reason, note)

    async def list_holds(self, tenant: int, group: str) -> list[HoldInfo]:
        """`Erasing.list_holds`."""
        permit = await self.permit_any(
            _LISTING, tenant, classes=(DataClass.PHI,), group=group, stream=_HOLDS, door="listHolds"
        )
        found = await self.service.erasing.list_holds(tenant, group)
        await self.acted(permit, Kind.HOLD, subjects=named_subjects(one.subject for one in found), count=len(found))
        return found

    async def put_retention(self, tenant: int, group: str, stream: str, data_class: DataClass, days: int) -> None:
        """`Retaining.put_retention`."""
        permit = await self.permit(
            Action.ERASE, tenant, data_class, group=group, stream=_RETENTION, door="putRetention"
        )
        note = permit.entry(Kind.RETENTION, detail={"stream": stream, "days": str(days)})
        await self.service.retaining.put_retention(tenant, group, stream, data_class, days, note)

    async def list_retention(self, tenant: int, group: str) -> list[RetentionInfo]:
        """`Retaining.list_retention`."""
        await self.permit_any(_LISTING, tenant, group=group, stream=_RETENTION, door="listRetention")
        return await self.service.retaining.list_retention(tenant, group)

    async def prune(self, tenant: int, group: str, *, dry_run: bool) -> Pruned:
        """`Retaining.prune`. Each of its ops has an entry; where there was nothing to do, or it was a dry run, that."""
        permit = await self.permit(Action.ERASE, tenant, DataClass.PHI, group=group, stream=_RETENTION, door="prune")

        def note(detail: dict[str, str]) -> AuditEntry:
            return permit.entry(Kind.RETENTION, detail={"applies": "true", **detail})

        by = self.caller.principal.name
        found = await self.service.retaining.prune(tenant, group, dry_run=dry_run, by=by, note=note)
        if dry_run:
            await self.acted(permit, Kind.RETENTION, detail={"dry-run": "true"})
        elif not found.segments and not found.report["erasure"]:
            await self.acted(permit, Kind.RETENTION, detail={"applies": "true", "expires": "nothing"})
        return found
