"""Decides what callers may do, by each group's own copy of the policy, and has denials written down.

Rules
- While a group has no policy, everything is allowed (`NO_POLICY`), or nothing, where the node wants one: then those
  listed as its administrators may apply the first.
- A denial is committed to the audit log before its error leaves; if it can't be, the error says that instead.
- What doesn't depend on the time or on a subject is decided once for each policy, and remembered.
- A rule that shows rows or masks columns allows no answer that can't be restricted: events as they are.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import product

import trio
from attrs import evolve

from vdb.audit.entry import AuditEntry, Kind, Outcome
from vdb.errors import AccessDenied, RefusalCode, VerityError
from vdb.marks import mark
from vdb.node import log
from vdb.node.gate.caller import Caller
from vdb.node.gate.gate_settings import GateSettings
from vdb.node.gate.permit import NO_POLICY, POLICY_REQUIRED, EmptyBook, Permit, PolicyBook, Recorder
from vdb.node.gate.reader import GroupReader
from vdb.node.replication.group import Group
from vdb.policy.decide import AccessRequest, Consent, Decision, decide
from vdb.policy.model import Policy
from vdb.policy.words import Action, Effect
from vdb.types import GLOBAL_GROUP, SYSTEM_TENANT, DataClass, GroupId, TenantId

DECISIONS_MAX = 20_000
"""Decisions that are remembered."""

FAILURES_EVERY_SECONDS = 1.0
"""At most so often are failed attempts to sign in written down."""

_Key = tuple[str, bool, bool, Action, int, DataClass, str, str, bool]


class _Decisions:
    """Of one policy object."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.varying = frozenset(
            action
            for rule in policy.rules
            if rule.consent or rule.effect is Effect.BREAK_GLASS
            for action in rule.actions
        )
        """Actions for which a subject or the time may count."""
        patterns = dict.fromkeys(pattern.removesuffix("*") for rule in policy.rules for pattern in rule.streams)
        self.streams = tuple(pattern for pattern in patterns if pattern)
        """One that fits each of its patterns."""
        self.tables = tuple(dict.fromkeys(table for rule in policy.rules for table in rule.tables))
        self.found: dict[_Key, Decision] = {}


class Permits:
    """One per node. `run` it as long as the node serves."""

    def __init__(
        self,
        readers: Mapping[GroupId, GroupReader],
        home: GroupId,
        *,
        node: str = "",
        settings: GateSettings | None = None,
        book: PolicyBook | None = None,
        recorder: Recorder | None = None,
        wall_us: Callable[[], int] = lambda: 0,
    ) -> None:
        self.settings = settings or GateSettings()
        self.book: PolicyBook = book or EmptyBook()
        self.recorder = recorder
        """None: nothing is written down."""
        self.home = home
        """The node's region: where denials are written down whose group nobody knows."""
        self.node = node
        self.wall_us = wall_us
        self._readers = readers
        self._decisions: dict[GroupId, _Decisions] = {}
        self._failed_sign_ins = 0
        self._failed_noted_at = -math.inf
        self._waiting, self._tasks = trio.open_memory_channel[Callable[[], Awaitable[None]]](math.inf)

    @property
    def gives_receipts(self) -> bool:
        return self.settings.receipts and self.recorder is not None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run what `soon` was given, until cancelled."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            async for function in self._tasks:
                nursery.start_soon(function)

    def soon(self, function: Callable[[], Awaitable[None]]) -> None:
        """Have a task of the node's run this; it must not raise."""
        self._waiting.send_nowait(function)

    # Deciding --------------------------------------------------------------------------------------------------

    def decide(
        self, caller: Caller, request: AccessRequest, group: GroupId, door: str, *, plain: bool = True
    ) -> Permit:
        """`plain`: the answer can't be restricted to rows, nor its columns be masked."""
        decision = self._decision(caller, request, group)
        if plain and decision.allowed and (decision.rows or decision.masks):
            reason = f"rule '{decision.rule}' shows some rows or masks columns, which events as they are can't be"
            decision = evolve(decision, allowed=False, reason=reason)
        return Permit(caller=caller, request=request, decision=decision, group=group, door=door, node=self.node)

    def _decision(self, caller: Caller, request: AccessRequest, group: GroupId) -> Decision:
        policy = self.book.policy(group)
        if policy is None:
            return self._without_policy(request, group)
        known = self._decisions_of(group, policy)
        if request.action in known.varying:
            asked = evolve(request, time=self._now(group))
            tenant = TenantId(request.tenant)
            return decide(
                policy,
                asked,
                grants=self.book.grants(group, tenant, request.principal.name),
                consents=self.book.consents(group, tenant, request.subject) if request.subject else (),
            )
        if request.tables or request.columns:
            return decide(policy, request)
        who = request.principal
        key = (
            who.name,
            who.mfa,
            who.development,
            request.action,
            request.tenant,
            request.data_class,
            request.stream,
            request.purpose,
            bool(request.on_behalf_of),
        )
        found = known.found.get(key)
        if found is None:
            if len(known.found) >= DECISIONS_MAX:
                known.found.clear()
            found = known.found[key] = decide(policy, request)
        return found

    def _without_policy(self, request: AccessRequest, group: GroupId) -> Decision:
        if not self.settings.require_policy:
            return Decision(allowed=True, rule=NO_POLICY, version="", reason=f"group {group} has no policy")
        first = (
            request.action in (Action.POLICY, Action.STATUS) and request.principal.name in self.settings.policy_admins
        )
        return Decision(
            allowed=first,
            rule=POLICY_REQUIRED,
            version="",
            reason=f"group {group} has no policy yet, and this node requires one: expected one of its policy-admins to "
            "apply it",
        )

    def allows_some_subject(self, permit: Permit) -> bool:
        """Whether what is denied may be allowed about some subjects: by a broken glass, or by their consent."""
        policy, group, asked = self.book.policy(permit.group), permit.group, permit.request
        if policy is None or not self.is_varying(group, asked.action):
            return False
        tenant, who = TenantId(asked.tenant), asked.principal.name
        grants = self.book.grants(group, tenant, who)
        streams = (asked.stream,) if asked.stream else ("", *self.streams_named(group))
        subjects = dict.fromkeys(["?", *(grant.subject for grant in grants)])
        for stream, subject, data_class in product(streams, subjects, DataClass):
            supposed = Consent(tenant=tenant, subject=subject, purposes=(asked.purpose,))
            request = evolve(asked, stream=stream, subject=subject, data_class=data_class, time=self._now(group))
            found = decide(policy, request, grants=grants, consents=[supposed] if asked.purpose else ())
            if found.allowed and not found.rows and not found.masks:
                return True
        return False

    def streams_named(self, group: GroupId) -> tuple[str, ...]:
        """One stream that fits each pattern of the group's policy: who may do something at all may do it there."""
        policy = self.book.policy(group)
        return () if policy is None else self._decisions_of(group, policy).streams

    def tables_named(self, group: GroupId) -> tuple[str, ...]:
        """The tables that the group's policy names: likewise."""
        policy = self.book.policy(group)
        return () if policy is None else self._decisions_of(group, policy).tables

    def _decisions_of(self, group: GroupId, policy: Policy) -> _Decisions:
        known = self._decisions.get(group)
        if known is None or known.policy is not policy:
            known = self._decisions[group] = _Decisions(policy)
        return known

    def is_varying(self, group: GroupId, action: Action) -> bool:
        """Whether a subject or the time may count for this action."""
        policy = self.book.policy(group)
        if policy is None:
            return False
        return action in self._decisions_of(group, policy).varying

    def _now(self, group: GroupId) -> int:
        reader = self._readers.get(group)
        return reader.group.time_us if reader is not None else self.wall_us()

    # Writing down ----------------------------------------------------------------------------------------------

    def group(self, name: GroupId) -> Group:
        return self._readers[name].group

    def log_of(self, permit: Permit) -> tuple[TenantId, GroupId]:
        """Whose audit log takes the entries of a permit: the tenant's, if there is such a tenant.

        What names somebody stays in the region: who was asked about is PHI, also where nothing was found.
        """
        tenant, group, named = TenantId(permit.request.tenant), permit.group, bool(permit.request.subject)
        if named and group == GLOBAL_GROUP:
            group = self.home
        if tenant != SYSTEM_TENANT:
            for name in (group, *self._readers):
                if not (named and name == GLOBAL_GROUP) and self._readers[name].has_tenant(tenant):
                    return tenant, name
        return SYSTEM_TENANT, group

    async def record(self, tenant: TenantId, group: GroupId, entries: Sequence[AuditEntry]) -> None:
        """Returns once the entries are committed. AuditUnavailable, NotPrimary, NotReady, PrimaryLost."""
        if self.recorder is not None and entries:
            await self.recorder.record(tenant, group, entries)

    def note_sign_in(self, caller: Caller) -> None:
        """Write down that somebody came with a token. Nobody waits for it: nothing was read yet."""
        self._note_soon(self._sign_in(caller))

    def _sign_in(self, caller: Caller, **detail: str) -> AuditEntry:
        return AuditEntry(
            kind=Kind.SIGN_IN,
            action="authenticate",
            actor=caller.principal.name,
            credential=caller.credential.value,
            mfa=caller.principal.mfa,
            client=caller.client,
            door="authenticate",
            purpose=caller.purpose,
            reason=caller.reason,
            node=self.node,
            detail=detail,
        )

    def note_shared(self, caller: Caller, hosts: Sequence[str]) -> None:
        """Write down that a credential is shown from several machines at once."""
        log.warning("identity.shared", principal=caller.principal.name, client=caller.client, others=" ".join(hosts))
        mark("identity.shared")
        self._note_soon(self._sign_in(caller, **{"also-from": " ".join(hosts)}))

    def note_failed_sign_in(self, client: str, why: str) -> None:
        """Write down that somebody's token didn't count: once in a while, with how many there were."""
        self._failed_sign_ins += 1
        log.warning("identity.sign_in_failed", client=client, reason=why)
        now = trio.current_time()
        if now - self._failed_noted_at < FAILURES_EVERY_SECONDS:
            return
        entry = AuditEntry(
            kind=Kind.SIGN_IN,
            action="authenticate",
            outcome=Outcome.DENIED,
            code=RefusalCode.NOT_AUTHENTICATED.value,
            client=client,
            door="authenticate",
            count=self._failed_sign_ins,
            detail={"why": why},
            node=self.node,
        )
        self._failed_noted_at, self._failed_sign_ins = now, 0
        self._note_soon(entry)

    def _note_soon(self, entry: AuditEntry) -> None:
        async def write_down() -> None:
            try:
                await self.record(SYSTEM_TENANT, self.home, [entry])
            except VerityError as error:
                log.warning("identity.not_recorded", actor=entry.actor, reason=log.reason(error))

        self.soon(write_down)

    async def deny(self, permit: Permit) -> AccessDenied:
        """The error for a denied permit, once the denial is committed. Raises what `record` raises if it can't be."""
        assert not permit.allowed
        mark("gate.denied")
        tenant, group = self.log_of(permit)
        entry = permit.denial()
        if tenant == SYSTEM_TENANT and permit.request.tenant:
            entry = permit.entry(
                entry.kind,
                outcome=entry.outcome,
                code=entry.code,
                detail={**entry.detail, "tenant": str(permit.request.tenant)},
            )
        await self.record(tenant, group, [entry])
        return denied(permit)


def denied(permit: Permit) -> AccessDenied:
    """The error for a denied permit."""
    decision = permit.decision
    version = f", policy {decision.version}" if decision.version else ""
    return AccessDenied(f"{decision.reason} (rule '{decision.rule}'{version})")
