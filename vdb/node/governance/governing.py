"""Policies, broken glasses, consents and attestations: what their doors do once the guard has let somebody through.

Rules
- A policy is applied in the global group, and carried from there into each region's (`carrying`). Who applies one must
  be able to apply the next.
- Who may break the glass, and who reviews what was done, the policy of the region says (`[break-glass]`). While there
  is no policy there is no glass to break.
- What is done commits with its note in the audit log, in one prepare.
- That a glass was broken is told at once: a line in the node's log, and a place in the queue of those who review.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import trio

from vdb.audit.entry import AuditEntry
from vdb.errors import InvalidArgument, NotAvailable, TooLarge, UnknownStream, UnknownTenant, error_for_refusal
from vdb.kernel.command import INTERNAL, KeyScope
from vdb.kernel.governance import find_consent, find_grant, policy_serial
from vdb.kernel.governance_rows import ConsentRow, GrantRow, unpack_consent, unpack_grant
from vdb.kernel.reply import Attested, ConsentPut, GrantOpened, GrantReviewed, PolicyPut, Refusal, Reply
from vdb.kernel.tables import CONSENTS, GRANTS, U64, tenant_key
from vdb.limits import GOVERNANCE_TEXT_BYTES_MAX, SUBJECT_BYTES_MAX
from vdb.marks import mark
from vdb.node import log
from vdb.node.gate.append_checks import check_text
from vdb.node.gate.caller import Caller
from vdb.node.gate.reader import GroupReader
from vdb.node.governance.checking import check_policy_text, check_purposes
from vdb.node.governance.governance_request import (
    GovernanceRequest,
    PlainAttestation,
    PlainConsent,
    PlainGrant,
    PlainPolicy,
    PlainReview,
)
from vdb.node.governance.policy_book import PolicyBook
from vdb.node.governance.sealing import AttestationText, GrantText, ReviewText, open_consent, open_grant, open_review
from vdb.node.preparing.cutting import size_bound
from vdb.node.preparing.noting import note_bound
from vdb.node.replication.group import Group
from vdb.policy.held import ERASED, ConsentInfo, GrantInfo, PolicyInfo
from vdb.policy.model import Policy
from vdb.types import GLOBAL_GROUP, DataClass, GroupId, Region, TenantId, check_tenant_id

VERDICTS = ("justified", "unjustified")
LIST_MAX = 1000
"""Grants or consents that one answer holds."""
DOCUMENT_DIGEST_SIZE = 32
CARRY_SECONDS = 5.0
"""How long who applies a policy waits for the regions to have it."""


class Governance:
    """See the module's docstring. One per node."""

    def __init__(self, readers: Mapping[GroupId, GroupReader], region: Region) -> None:
        self._readers = readers
        self._region = region
        self.book = PolicyBook({name: reader.group for name, reader in readers.items()})

    # Policies --------------------------------------------------------------------------------------------------

    async def apply_policy(
        self, caller: Caller, text: str, expected_serial: int, note: AuditEntry | None = None
    ) -> PolicyPut:
        """Put a policy in the place of the one with this serial (0: there is none), in the global group.

        InvalidArgument, TooLarge; AccessDenied for one that would lock its author out; PolicyChanged where another one
        holds. Applying the same once more, as after an answer that was lost, is harmless.
        """
        policy = check_policy_text(text, caller)
        group = self._group(GLOBAL_GROUP)
        request = PlainPolicy(serial=expected_serial + 1, version=policy.version, text=text, by=caller.principal.name)
        for reader in self._readers.values():
            _check_fits(reader.group, request, note)
        await group.confirm()
        held = self.book.held(group.name)
        if held is not None and (held.row.serial, held.row.version) == (expected_serial + 1, policy.version):
            return PolicyPut(held.row.serial, held.row.version)
        reply = await self._commit(group, request, note)
        assert isinstance(reply, PolicyPut)
        log.info("policy.applied", serial=reply.serial, version=reply.version)
        await self._wait_until_carried(reply.serial)
        return reply

    async def _wait_until_carried(self, serial: int) -> None:
        """Until this node's regions have it, for as long as that takes where nothing is in the way."""
        with trio.move_on_after(CARRY_SECONDS):
            for reader in self._readers.values():
                await reader.group.wait_until(partial(_has_policy, reader.group, serial))

    async def get_policy(self, group: str) -> PolicyInfo:
        """The policy that holds in a group (empty: the node's region), as this node knows it."""
        held = self.book.held(self._group(group).name)
        if held is None:
            return PolicyInfo(serial=0)
        row = held.row
        return PolicyInfo(
            serial=row.serial, version=row.version, text=row.text, applied_at=row.applied_at, applied_by=row.by
        )

    # Broken glasses --------------------------------------------------------------------------------------------

    def glass_of(self, group: str) -> Policy:
        """The policy by which the glass may be broken. NotAvailable where there is none."""
        name = self._phi_group(group).name
        policy = self.book.policy(name)
        if policy is None:
            raise NotAvailable(f"group {name} has no policy: there is no glass to break, expected one to be applied")
        return policy

    async def break_glass(
        self,
        caller: Caller,
        tenant: int,
        group: str,
        subject: str,
        reason: str,
        seconds: int,
        note: AuditEntry | None = None,
    ) -> GrantOpened:
        """Begin an exception for this principal, of so many seconds (0: as long as the policy allows).

        InvalidArgument for none or too long a reason, and for more seconds than the policy allows; UnknownTenant.
        """
        policy, found = self.glass_of(group), self._phi_group(group)
        checked = check_tenant_id(tenant)
        if not found.state.has_tenant(checked):
            await found.confirm()
            if not found.state.has_tenant(checked):
                raise UnknownTenant(f"tenant {tenant} has no stream in group {found.name}")
        _check_words("a reason", reason)
        check_text("a subject", subject, SUBJECT_BYTES_MAX)
        seconds_max = policy.break_glass.minutes * 60
        if not 0 <= seconds <= seconds_max:
            raise InvalidArgument(f"the glass is broken for at most {seconds_max} s; found {seconds}")
        request = PlainGrant(
            tenant=checked,
            principal=caller.principal.name,
            text=GrantText(subject=subject, reason=reason),
            seconds=seconds or seconds_max,
        )
        reply = await self._commit(found, request, note)
        assert isinstance(reply, GrantOpened)
        mark("governance.glass_broken")
        log.warning("governance.glass_broken", tenant=tenant, group=found.name, grant=reply.grant, until=reply.until)
        return reply

    async def review_grant(
        self,
        caller: Caller,
        tenant: int,
        group: str,
        grant: int,
        verdict: str,
        remark: str,
        note: AuditEntry | None = None,
    ) -> GrantReviewed:
        """Say what another person's broken glass was good for; it ends with that. InvalidArgument, AccessDenied.

        Saying the same once more, as after an answer that was lost, is harmless.
        """
        if verdict not in VERDICTS:
            raise InvalidArgument(f"a verdict is one of {', '.join(VERDICTS)}; found {verdict!r}")
        check_text("a remark", remark, GOVERNANCE_TEXT_BYTES_MAX)
        found = self._phi_group(group)
        request = PlainReview(
            tenant=check_tenant_id(tenant),
            grant=grant,
            reviewer=caller.principal.name,
            text=ReviewText(verdict=verdict, remark=remark),
        )
        held = self.grant(tenant, group, grant)
        if held is not None and (held.reviewer, held.verdict, held.remark) == (caller.principal.name, verdict, remark):
            return GrantReviewed(grant, held.until)
        reply = await self._commit(found, request, note)
        assert isinstance(reply, GrantReviewed)
        log.info("governance.grant_reviewed", tenant=tenant, group=found.name, grant=grant)
        return reply

    def grant(self, tenant: int, group: str, number: int) -> GrantInfo | None:
        """One that there is, as this node knows it."""
        found = self._phi_group(group)
        row = find_grant(found.state, check_tenant_id(tenant), number)
        return None if row is None else _grant_info(found, row)

    async def list_grants(self, tenant: int, group: str, *, unreviewed: bool) -> list[GrantInfo]:
        """A tenant's broken glasses, oldest first; those that nobody has reviewed, or the last thousand of all."""
        found = self._phi_group(group)
        await found.confirm()
        rows, owner = found.state.rows[GRANTS], tenant_key(check_tenant_id(tenant))
        grants: list[GrantInfo] = []
        for key in sorted((key for key in rows if key.startswith(owner)), reverse=True):
            row = unpack_grant(U64.unpack(key[U64.size :])[0], rows[key])
            if not (unreviewed and row.is_reviewed):
                grants.append(_grant_info(found, row))
                if len(grants) == LIST_MAX:
                    break
        return grants[::-1]

    # Consents --------------------------------------------------------------------------------------------------

    async def put_consent(
        self,
        tenant: int,
        group: str,
        subject: str,
        purposes: tuple[str, ...],
        until: int,
        *,
        withdraw: bool,
        note: AuditEntry | None = None,
    ) -> ConsentPut:
        """A subject consents to purposes until a time (0: for good), or withdraws some, or all for none named."""
        if not subject:
            raise InvalidArgument("a consent is somebody's: expected a subject, found none")
        check_text("a subject", subject, SUBJECT_BYTES_MAX)
        check_purposes(purposes)
        if until < 0:
            raise InvalidArgument(f"a consent ends at a time after 1970, or never at 0; found {until}")
        request = PlainConsent(
            tenant=check_tenant_id(tenant), subject=subject, purposes=purposes, until=until, withdraw=withdraw
        )
        reply = await self._commit(self._phi_group(group), request, note)
        assert isinstance(reply, ConsentPut)
        return reply

    async def list_consents(self, tenant: int, group: str, subject: str) -> list[ConsentInfo]:
        """What a subject consents to; for no subject, what all of a tenant's do, up to a thousand of them."""
        found, checked = self._phi_group(group), check_tenant_id(tenant)
        await found.confirm()
        keyring = found.keyring
        if keyring.row(checked, KeyScope.TENANT) is None:
            return []
        if subject:
            one = find_consent(found.state, checked, keyring.lookup(checked, KeyScope.SUBJECT, subject))
            return [] if one is None else _consent_infos(subject, one)
        rows, owner = found.state.rows[CONSENTS], tenant_key(checked)
        infos: list[ConsentInfo] = []
        for key in sorted(key for key in rows if key.startswith(owner)):
            row = unpack_consent(rows[key])
            text = open_consent(keyring, row)
            infos += _consent_infos(ERASED if text is None else text.subject, row)
            if len(infos) >= LIST_MAX:
                break
        return sorted(infos[:LIST_MAX], key=lambda info: (info.subject, info.given))

    # Attestations ----------------------------------------------------------------------------------------------

    async def attest(
        self,
        caller: Caller,
        tenant: int,
        stream: str,
        expert: str,
        statement: str,
        document_digest: bytes,
        note: AuditEntry | None = None,
    ) -> Attested:
        """Record an expert's determination, by which a de-identified stream may hold free text from now on.

        InvalidArgument for a stream of another class; UnknownStream.
        """
        _check_words("an expert's name", expert)
        _check_words("a statement", statement)
        if len(document_digest) not in (0, DOCUMENT_DIGEST_SIZE):
            raise InvalidArgument(
                f"a document's digest is its SHA-256, {DOCUMENT_DIGEST_SIZE} bytes; found {len(document_digest)}"
            )
        checked = check_tenant_id(tenant)
        reader = await self._reader_of(checked, stream)
        found = reader.find(checked, stream)
        if found is None:
            raise UnknownStream(f"tenant {tenant} has no stream '{stream}' on this node")
        if found.data_class is not DataClass.DEIDENTIFIED:
            raise InvalidArgument(
                f"an expert attests to a de-identified stream; found stream '{stream}' of class "
                f"{found.data_class.label}"
            )
        text = AttestationText(expert=expert, statement=statement, document=document_digest.hex())
        request = PlainAttestation(tenant=checked, stream=found.stream, by=caller.principal.name, text=text)
        reply = await self._commit(reader.group, request, note)
        assert isinstance(reply, Attested)
        return reply

    async def _reader_of(self, tenant: TenantId, stream: str) -> GroupReader:
        """Of the group that has this stream. UnknownStream."""
        for sure in (False, True):
            for reader in self._readers.values():
                if sure:
                    await reader.group.confirm()
                if reader.find(tenant, stream) is not None:
                    return reader
        raise UnknownStream(f"tenant {tenant} has no stream '{stream}' on this node")

    # The way to the log ----------------------------------------------------------------------------------------

    async def _commit(self, group: Group, request: GovernanceRequest, note: AuditEntry | None) -> Reply:
        _check_fits(group, request, note)
        reply = await group.execute(request, INTERNAL, note=note)
        if isinstance(reply, Refusal):
            raise error_for_refusal(reply.code, reply.message)
        return reply

    def _phi_group(self, group: str) -> Group:
        """A region's; the node's own for no name. InvalidArgument for the global one."""
        found = self._group(group)
        if found.name == GLOBAL_GROUP:
            raise InvalidArgument("grants and consents say whose data there are: expected a region, found 'global'")
        return found

    def _group(self, name: str) -> Group:
        reader = self._readers.get(GroupId(name or self._region.name))
        if reader is None:
            raise InvalidArgument(f"this node has no group '{name}': expected one of {', '.join(self._readers)}")
        return reader.group


def _check_fits(group: Group, request: GovernanceRequest, note: AuditEntry | None) -> None:
    """TooLarge for what no prepare of the group holds."""
    size, size_max = size_bound(request) + note_bound(request, note, group.limits), group.limits.body_size_max
    if size > size_max:
        raise TooLarge(f"the request takes up to {size} bytes: group {group.name} takes at most {size_max}")


def _has_policy(group: Group, serial: int) -> bool:
    return policy_serial(group.state) >= serial


def _grant_info(group: Group, row: GrantRow) -> GrantInfo:
    text = open_grant(group.keyring, row) or GrantText(subject=ERASED, reason=ERASED)
    review = ReviewText(verdict="", remark="")
    if row.is_reviewed:
        review = open_review(group.keyring, row) or ReviewText(verdict=ERASED, remark=ERASED)
    return GrantInfo(
        grant=row.grant,
        principal=row.principal,
        subject=text.subject,
        reason=text.reason,
        until=row.until,
        reviewer=row.reviewer,
        verdict=review.verdict,
        remark=review.remark,
        reviewed=row.reviewed_at,
    )


def _consent_infos(subject: str, row: ConsentRow) -> list[ConsentInfo]:
    """One for what was given at the same time until the same time."""
    found: dict[tuple[int, int], list[str]] = {}
    for item in row.items:
        found.setdefault((item.given_at, item.until), []).append(item.purpose)
    return [
        ConsentInfo(subject=subject, purposes=tuple(purposes), until=until, given=given)
        for (given, until), purposes in sorted(found.items())
    ]


def _check_words(what: str, text: str) -> None:
    if not text.strip():
        raise InvalidArgument(f"{what} is needed; found none")
    check_text(what, text, GOVERNANCE_TEXT_BYTES_MAX)
