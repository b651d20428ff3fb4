"""The guard of governance: policies, broken glasses, consents, attestations.

Rules
- What is done goes with its entry in one prepare; a list that names subjects is answered once its entry has committed.
- Who may break the glass, and who reviews it, `[break-glass]` of the region's policy says: these two doors ask no rule.
- A reviewer sees the queue of grants; everybody else needs to be allowed `audit`.
- Whoever has shown who asks hears which policy holds; its text, who may apply one or audit.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve
from msgspec.structs import replace

from vdb.audit.entry import ALL_SUBJECTS, Kind, Outcome
from vdb.errors import AccessDenied, InvalidArgument
from vdb.kernel.reply import Attested, ConsentPut, GrantOpened, GrantReviewed, PolicyPut
from vdb.node.gate.guard_base import GuardBase
from vdb.node.gate.permit import Permit, named_subjects
from vdb.node.governance.checking import check_policy_text
from vdb.policy.decide import AccessRequest, Decision
from vdb.policy.held import ConsentInfo, GrantInfo, PolicyInfo
from vdb.policy.model import Policy
from vdb.policy.words import Action
from vdb.types import GLOBAL_GROUP, SYSTEM_TENANT, DataClass

BREAK_GLASS = "break-glass"
"""The rule in decisions that `[break-glass]` of a policy makes."""
_GRANTS = "$grants"
_CONSENTS = "$consents"
"""Stand for what is asked for, in requests and entries."""


class GovernanceGuard(GuardBase):
    """See the module's docstring."""

    # Policies --------------------------------------------------------------------------------------------------

    async def apply_policy(self, text: str, expected_serial: int) -> PolicyPut:
        """`Governance.apply_policy`. One that isn't sound, or would lock its author out, is written down as refused."""
        permit = await self.operate("applyPolicy", GLOBAL_GROUP, Action.POLICY)
        note = permit.entry(Kind.POLICY, detail={"replaces": str(expected_serial)})
        try:
            check_policy_text(text, self.caller)
        except (AccessDenied, InvalidArgument) as error:
            await self.record(permit, replace(note, outcome=Outcome.REFUSED, code=error.code.value))
            raise
        return await self.service.governance.apply_policy(self.caller, text, expected_serial, note)

    async def get_policy(self, group: str) -> PolicyInfo:
        """`Governance.get_policy`; without its text for those who may neither apply policies nor audit."""
        found = await self.service.governance.get_policy(group)
        for action in (Action.POLICY, Action.AUDIT):
            if self.decide(action, SYSTEM_TENANT, DataClass.NON_PHI, group=group, door="getPolicy").allowed:
                return found
        return evolve(found, text="")

    # Broken glasses --------------------------------------------------------------------------------------------

    async def break_glass(self, tenant: int, group: str, subject: str, reason: str, seconds: int) -> GrantOpened:
        """`Governance.break_glass`."""
        governance = self.service.governance
        policy = governance.glass_of(group)
        permit = await self.checked(self._glass(policy, policy.break_glass.roles, tenant, group, subject, "breakGlass"))
        note = permit.entry(
            Kind.BREAK_GLASS,
            reason=reason,
            subjects=(subject,) if subject else ALL_SUBJECTS,
            detail={"seconds": str(seconds or policy.break_glass.minutes * 60)},
        )
        return await governance.break_glass(self.caller, tenant, group, subject, reason, seconds, note)

    async def review_grant(self, tenant: int, group: str, grant: int, verdict: str, remark: str) -> GrantReviewed:
        """`Governance.review_grant`."""
        governance = self.service.governance
        policy = governance.glass_of(group)
        held = governance.grant(tenant, group, grant)
        subject = held.subject if held is not None else ""
        reviewers = policy.break_glass.reviewers
        permit = await self.checked(self._glass(policy, reviewers, tenant, group, subject, "reviewGrant"))
        note = permit.entry(
            Kind.REVIEW,
            grant=grant,
            subjects=(subject,) if subject else ALL_SUBJECTS,
            detail={"verdict": verdict} | ({"principal": held.principal} if held is not None else {}),
        )
        return await governance.review_grant(self.caller, tenant, group, grant, verdict, remark, note)

    async def list_grants(self, tenant: int, group: str, *, unreviewed: bool) -> list[GrantInfo]:
        """`Governance.list_grants`."""
        permit = await self._may_list(tenant, group)
        found = await self.service.governance.list_grants(tenant, group, unreviewed=unreviewed)
        await self.acted(permit, Kind.REVIEW, subjects=named_subjects(one.subject for one in found), count=len(found))
        return found

    async def _may_list(self, tenant: int, group: str) -> Permit:
        policy = self.service.governance.book.policy(self._group_name(group))
        if policy is not None:
            reviewers = policy.break_glass.reviewers
            permit = self._glass(policy, reviewers, tenant, group, "", "listGrants", Action.AUDIT)
            if permit.allowed:
                return permit
        return await self.permit(
            Action.AUDIT, tenant, DataClass.PHI, group=group, stream=_GRANTS, door="listGrants", plain=False
        )

    def _glass(
        self,
        policy: Policy,
        wanted: Sequence[str],
        tenant: int,
        group: str,
        subject: str,
        door: str,
        action: Action = Action.READ,
    ) -> Permit:
        """Whether the caller has one of these roles in a tenant."""
        caller = self.caller
        who = caller.principal
        roles = policy.roles_of(who.name, tenant)
        allowed = not who.development and not roles.isdisjoint(wanted)
        words = f"one of the roles {', '.join(wanted) or '(none is named)'}"
        reason = f"{door} is for {words}; found {', '.join(sorted(roles)) or 'none'}"
        if who.development:
            reason = "a credential of development mode never reaches PHI"
        elif caller.claims and not policy.may_name_others(who.name, tenant):
            allowed, reason = False, f"{who.name} may not ask on behalf of others"
        request = AccessRequest(
            principal=who,
            action=action,
            tenant=tenant,
            data_class=DataClass.PHI,
            stream=_GRANTS,
            subject=subject,
            purpose=caller.purpose,
        )
        decision = Decision(allowed=allowed, rule=BREAK_GLASS, version=policy.version, reason=reason)
        return Permit(
            caller=caller,
            request=request,
            decision=decision,
            group=self._group_name(group),
            door=door,
            node=self.permits.node,
        )

    # Consents and attestations ---------------------------------------------------------------------------------

    async def put_consent(
        self, tenant: int, group: str, subject: str, purposes: tuple[str, ...], until: int, *, withdraw: bool
    ) -> ConsentPut:
        """`Governance.put_consent`."""
        permit = await self.permit(
            Action.POLICY, tenant, DataClass.PHI, group=group, stream=_CONSENTS, subject=subject, door="putConsent"
        )
        deed = "withdraw" if withdraw else "give"
        note = permit.entry(Kind.CONSENT, detail={deed: " ".join(purposes) or "all"})
        return await self.service.governance.put_consent(
            tenant, group, subject, purposes, until, withdraw=withdraw, note=note
        )

    async def list_consents(self, tenant: int, group: str, subject: str) -> list[ConsentInfo]:
        """`Governance.list_consents`."""
        permit = await self.permit_any(
            (Action.POLICY, Action.AUDIT),
            tenant,
            classes=(DataClass.PHI,),
            group=group,
            stream=_CONSENTS,
            door="listConsents",
        )
        found = await self.service.governance.list_consents(tenant, group, subject)
        named = [subject] if subject else [one.subject for one in found]
        await self.acted(permit, Kind.CONSENT, subjects=named_subjects(named), count=len(found))
        return found

    async def attest(self, tenant: int, stream: str, expert: str, statement: str, document: bytes) -> Attested:
        """`Governance.attest`."""
        group = self.place(tenant, stream).group
        permit = await self.permit(
            Action.POLICY, tenant, DataClass.DEIDENTIFIED, group=group, stream=stream, door="attest"
        )
        note = permit.entry(Kind.POLICY, detail={"attests": expert, "document": document.hex()})
        return await self.service.governance.attest(self.caller, tenant, stream, expert, statement, document, note)
