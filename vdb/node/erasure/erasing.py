"""The gate of what ends data: erasures and legal holds. Of retention, `vdb.node.erasure.retaining`.

Rules
- An erasure is judged by the group's primary: holds on the subject (again at apply), holds of streams that the subject
  has data in, and retention that isn't over for them. Whatever stands against it is said; nothing is done then. If a
  hold or a rule comes meanwhile, or something is written about the subject, it is judged again.
- From its commit on, nothing of the subject is readable and nothing is written about it. It is pending until each
  member's disk is rid of the keys (`vdb.node.erasure.eraser`); then there is a certificate.
- A retention stands against an erasure until it is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trio
from attrs import evolve

from vdb.audit.entry import AuditEntry
from vdb.crypto.root import RootKeys
from vdb.erasures import ErasureBegun, ErasureInfo, HoldInfo
from vdb.errors import (
    InvalidArgument,
    NotReady,
    OnHold,
    PolicyChanged,
    SubjectErased,
)
from vdb.kernel.command import KeyScope
from vdb.kernel.erasure import SUBJECT_WAS_ERASED, acks_of, erasures_of, is_erased, owing_nodes, pending_nodes
from vdb.kernel.erasure_rows import Ack, Erasure
from vdb.kernel.holds import find_hold, holds_of, judgement_serial
from vdb.kernel.pruning import PrunedRow, pruned_of
from vdb.limits import GOVERNANCE_TEXT_BYTES_MAX, STREAM_NAME_BYTES_MAX, SUBJECT_BYTES_MAX
from vdb.marks import mark
from vdb.node.erasure.certificate import certificate_of, op_of, sign_certificate
from vdb.node.erasure.endings import Endings, check_words
from vdb.node.erasure.erasure_request import (
    PlainErase,
    PlainHold,
    PlainReleaseHold,
)
from vdb.node.erasure.finding import Finder, FoundStream
from vdb.node.erasure.judging import against
from vdb.node.erasure.retaining import retention_rules
from vdb.node.erasure.sealing import ERASURE_SEALS, HOLD_SEALS, ErasureText, HoldText, open_text
from vdb.node.erasure.watching import Watch
from vdb.node.evidence.proving import origin_of
from vdb.node.gate.append_checks import check_text
from vdb.node.gate.reader import GroupReader
from vdb.node.replication.group import Group
from vdb.types import GroupId, Region, TenantId, check_tenant_id

SPARE_KEYS = 4
"""Keys that a subject may be given between the judgement and the erasure."""
ERASED_TEXT = "(erased)"
JUDGED_AGAIN = 4
"""So often, if holds or rules come, or data of the subject, while it is judged."""


class Erasing(Endings):
    """See the module's docstring. One per node."""

    def __init__(
        self,
        readers: Mapping[GroupId, GroupReader],
        region: Region,
        *,
        root_keys: RootKeys,
        disk_id: Callable[[], bytes],
    ) -> None:
        super().__init__(readers, region)
        self._root_keys = root_keys
        self._disk_id = disk_id

    # Erasures --------------------------------------------------------------------------------------------------

    async def erase(
        self,
        tenant: int,
        group: str,
        subject: str,
        basis: str,
        *,
        dry_run: bool,
        by: str = "",
        note: AuditEntry | None = None,
    ) -> ErasureBegun:
        """Destroy a subject's keys in a group. OnHold, SubjectErased, UnknownTenant, InvalidArgument; NotPrimary.

        A dry run changes nothing, and says in its report what stands against the erasure instead of raising.
        """
        checked = check_tenant_id(tenant)
        check_words("a subject", subject, SUBJECT_BYTES_MAX)
        check_words("the basis of an erasure", basis or ("dry run" if dry_run else ""), GOVERNANCE_TEXT_BYTES_MAX)
        reader = await self._primary(group)
        finder = Finder(reader, checked)
        for again in range(JUDGED_AGAIN, -1, -1):
            with reader.group.watches.watching(checked, subject) as watch:
                leads_from = reader.group.leads_from
                await reader.group.wait_own_log()
                found, request = await self._judge(reader, checked, subject, finder, watch)
                if dry_run:
                    return ErasureBegun(erasure=0, report=found)
                if found["against"]:
                    raise OnHold("; ".join(found["against"]))
                if leads_from is None or reader.group.leads_from != leads_from:
                    await self._primary(group)
                    continue
                try:
                    number = await self._commit(reader.group, evolve(request, basis=basis, by=by), note)
                except PolicyChanged:
                    if not again:
                        raise
                    mark("erasing.judged_again")
                else:
                    return ErasureBegun(erasure=number, report=found)
        raise NotReady("the group's primary changed while the erasure was judged: try again")

    async def _judge(
        self, reader: GroupReader, tenant: TenantId, subject: str, finder: Finder, watch: Watch
    ) -> tuple[dict[str, Any], PlainErase]:
        """What would be erased and what stands against it, and the request if nothing does."""
        found = reader.group
        self._check_tenant(found, tenant)
        lookup = found.keyring.lookup(tenant, KeyScope.SUBJECT, subject)
        if is_erased(found.state, tenant, lookup):
            raise SubjectErased(SUBJECT_WAS_ERASED)
        period = found.prepared.key_period(tenant)
        rows = [row for row in found.keyring.rows(tenant, KeyScope.SUBJECT, subject, period) if not row.is_destroyed]
        streams = await finder.find(tuple(dict.fromkeys(row.subject_token for row in rows)))
        request = PlainErase(
            tenant=tenant,
            subject=subject,
            basis="",
            by="",
            members=found.members,
            keys_max=len(rows) + len(found.keyring.file_rows(tenant)) + SPARE_KEYS,
            judged=1 + judgement_serial(found.state, tenant),
            watch=watch,
        )
        report = {
            "group": found.name,
            "tenant": str(tenant),
            "keys": len(rows),
            "streams": [_stream_report(one) for one in streams],
            "events": sum(one.events for one in streams),
            "against": against(found, tenant, lookup, streams, retention_rules(found, tenant)),
            "members": [{"node": node, "address": found.address_of(node)} for node in found.members],
        }
        return report, request

    async def list_erasures(self, tenant: int, group: str) -> list[ErasureInfo]:
        """A tenant's erasures in a group, in order, with the certificates of those that are complete."""
        checked = check_tenant_id(tenant)
        found = (await self._primary(group)).group
        infos: list[ErasureInfo] = []
        pruned = pruned_of(found.state, checked)
        for erasure in erasures_of(found.state, checked):
            infos.append(self._info(found, erasure, pruned))
            await trio.lowlevel.checkpoint()
        return infos

    def _info(self, group: Group, erasure: Erasure, pruned: Sequence[PrunedRow]) -> ErasureInfo:
        state = group.state
        acks = acks_of(state, erasure, self._asked(group, erasure))
        basis = _basis_of(group, erasure)
        return ErasureInfo(
            erasure=erasure.erasure,
            subject_token=erasure.token,
            basis=basis,
            time=erasure.time,
            op=op_of(acks),
            keys=len(erasure.keys),
            pending=() if erasure.completed else pending_nodes(state, erasure),
            certificate=self._certificate(group, erasure, acks, basis, pruned) if erasure.completed else "",
        )

    def _asked(self, group: Group, erasure: Erasure) -> tuple[int, ...]:
        """Numbers of all nodes that have held the keys or may."""
        return tuple(sorted(dict.fromkeys((*owing_nodes(group.state, erasure), *erasure.members))))

    def _certificate(
        self, group: Group, erasure: Erasure, acks: Sequence[Ack], basis: str, pruned: Sequence[PrunedRow]
    ) -> str:
        state, cluster = group.state, group.superblock.state.cluster
        said, owing = [ack.node for ack in acks], owing_nodes(state, erasure)
        tenant_key = group.keyring.row(erasure.tenant, KeyScope.TENANT)
        assert tenant_key is not None, "what was erased was a tenant's"
        whole = certificate_of(
            erasure,
            acks,
            cluster=cluster,
            group=group.name,
            basis=basis,
            removed=[node for node in erasure.members if node not in owing and node not in said],
            holds=holds_of(state, erasure.tenant),
            pruned=pruned,
            root_key=tenant_key.kek_id,
            rotation=state.rotation(),
        )
        key = self._root_keys.for_group(group.name).signing_key(self._disk_id())
        return sign_certificate(whole, origin_of(cluster, group.name, erasure.tenant), key)

    # Holds ---------------------------------------------------------------------------------------

    async def put_hold(
        self, tenant: int, group: str, subject: str, stream: str, reason: str, note: AuditEntry | None = None
    ) -> int:
        """Nothing of a subject, or of streams (a name, PREFIX*; both empty: all), is erased. Its number."""
        if subject and stream:
            raise InvalidArgument("a hold is on a subject or on streams: expected one of them, found both")
        check_text("a subject", subject, SUBJECT_BYTES_MAX)
        check_text("a stream's name", stream, STREAM_NAME_BYTES_MAX)
        check_words("a reason", reason, GOVERNANCE_TEXT_BYTES_MAX)
        found = (await self._primary(group)).group
        request = PlainHold(tenant=check_tenant_id(tenant), subject=subject, stream=stream, reason=reason)
        return await self._commit(found, request, note)

    async def release_hold(
        self, tenant: int, group: str, hold: int, reason: str, note: AuditEntry | None = None
    ) -> None:
        """InvalidArgument where there is no such hold, or it was released."""
        check_words("a reason", reason, GOVERNANCE_TEXT_BYTES_MAX)
        found = (await self._primary(group)).group
        await self._commit(found, PlainReleaseHold(tenant=check_tenant_id(tenant), hold=hold, reason=reason), note)

    async def list_holds(self, tenant: int, group: str) -> list[HoldInfo]:
        """A tenant's holds in order, released ones too."""
        checked = check_tenant_id(tenant)
        found = (await self._primary(group)).group
        infos: list[HoldInfo] = []
        for hold in holds_of(found.state, checked):
            text = open_text(found.keyring, hold.sealed, HOLD_SEALS, HoldText)
            shown = text or HoldText(subject=ERASED_TEXT, stream="", reason=ERASED_TEXT)
            infos.append(
                HoldInfo(
                    hold=hold.hold,
                    subject=shown.subject,
                    stream=shown.stream,
                    reason=shown.reason,
                    placed=hold.placed,
                    released=hold.released,
                )
            )
        return infos

    def subject_of_hold(self, tenant: int, group: str, hold: int) -> str:
        """Whom a hold is on, for the audit log; empty for one of streams, and for one that isn't there."""
        found = self._reader(group).group
        row = find_hold(found.state, TenantId(tenant), hold)
        text = None if row is None else open_text(found.keyring, row.sealed, HOLD_SEALS, HoldText)
        return "" if text is None else text.subject


def _stream_report(one: FoundStream) -> dict[str, Any]:
    return {
        "stream": one.stream,
        "class": one.data_class.label,
        "records": one.records,
        "events": one.events,
        "first": str(one.first),
        "last": str(one.last),
    }


def _basis_of(group: Group, erasure: Erasure) -> str:
    if not erasure.sealed:
        return erasure.basis
    text = open_text(group.keyring, erasure.sealed, ERASURE_SEALS, ErasureText)
    assert text is not None, "a basis is sealed under the catalogue's key, which nobody destroys"
    return text.basis
