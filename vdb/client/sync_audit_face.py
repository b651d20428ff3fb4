"""The part of the blocking face that is about audit logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from vdb.audit.entry import AuditEntry
from vdb.audit.page import AuditPage
from vdb.audit.search import AuditSearch
from vdb.client.sync_base import SyncBase
from vdb.types import Region

_EVERYTHING = AuditSearch()


class SyncAuditFace(SyncBase):
    """Who did what. See `AsyncFace`."""

    def audit_entries(
        self,
        group: Region | str = "",
        *,
        first: int = 0,
        count: int = 0,
        search: AuditSearch = _EVERYTHING,
        sealed: bool = False,
        system: bool = False,
        timeout: float | None = None,
    ) -> AuditPage:
        """Records of the audit log from leaf `first` on, one page of them."""
        return self._run(
            partial(
                self._face.audit_entries,
                group,
                first=first,
                count=count,
                search=search,
                sealed=sealed,
                system=system,
                timeout=timeout,
            )
        )

    def audit_search(
        self,
        group: Region | str = "",
        *,
        subject: str = "",
        actor: str = "",
        kinds: Sequence[str] = (),
        since: int = 0,
        until: int = 0,
        system: bool = False,
        timeout: float | None = None,
    ) -> list[AuditEntry]:
        """Entries of the audit log that fit, in order."""

        async def gather() -> list[AuditEntry]:
            found = self._face.audit_search(
                group,
                subject=subject,
                actor=actor,
                kinds=kinds,
                since=since,
                until=until,
                system=system,
                timeout=timeout,
            )
            return [entry async for entry in found]

        return self._run(gather)

    def record_audit(
        self, kind: str, detail: Mapping[str, object], group: Region | str = "", *, timeout: float | None = None
    ) -> int:
        """An entry of the program's own. The leaf that it stands in."""
        return self._run(partial(self._face.record_audit, kind, detail, group, timeout=timeout))
