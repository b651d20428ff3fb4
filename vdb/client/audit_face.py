"""The part of the face that is about audit logs: who did what, and what a program adds of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence

from vdb.audit.entry import AuditEntry
from vdb.audit.page import AuditPage
from vdb.audit.search import AuditSearch, called
from vdb.client.face_base import FaceBase
from vdb.client.values import check_number
from vdb.types import U64_MAX, Region

_U32_MAX = 2**32 - 1
_EVERYTHING = AuditSearch()


class AuditFace(FaceBase):
    """Each tenant has an audit log in each group that has data of it; the region of the node unless one is named."""

    async def audit_entries(
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
        """Records of the audit log from leaf `first` on, one page of them; reading them is itself written down.

        `count`: at most so many, 0 for as many as one answer holds. `sealed`: with sealed bodies and the keys that open
        just these. `system`: of the log that tells what is about no tenant. AccessDenied.
        """
        check_number(first, U64_MAX, "the number of a leaf")
        check_number(count, _U32_MAX, "a number of records")
        name = str(group) or await self._region_of_node(timeout)
        return await self._gateway.audit.entries(
            0 if system else self.tenant, name, first, count, search, sealed=sealed, timeout=self._seconds(timeout)
        )

    async def audit_search(
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
    ) -> AsyncIterator[AuditEntry]:
        """Entries of the audit log that fit, in order, up to where it ended when this began.

        `subject`: who saw this chart; entries that count for everybody are among them. Where the log has a token of the
        subject, its name stands. Times are microseconds UTC.
        """
        search = AuditSearch(subject=subject, actor=actor, kinds=tuple(kinds), from_time=since, to_time=until)
        first, end = 0, -1
        while end < 0 or first < end:
            page = await self.audit_entries(group, first=first, search=search, system=system, timeout=timeout)
            end = page.size if end < 0 else end
            for record in page.records:
                if record.index < end:
                    for entry in record.decoded():
                        yield called(entry, subject, page.names)
            first = page.next

    async def record_audit(
        self, kind: str, detail: Mapping[str, object], group: Region | str = "", *, timeout: float | None = None
    ) -> int:
        """An entry of the program's own: "export", "review" or "application". The leaf that it stands in.

        `detail`: texts; of `subjects` a list, of `count` a number.
        """
        name = str(group) or await self._region_of_node(timeout)
        text = json.dumps(detail, ensure_ascii=False)
        return await self._gateway.audit.record(self.tenant, name, kind, text, timeout=self._seconds(timeout))
