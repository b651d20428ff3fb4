"""The keeper of a SQL session: the guard's policy for each statement, receipts and notes for the audit log.

A statement asks of each table apart: so rules for several tables go together. What it gives is one entry, which names
the rules of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from attrs import evolve

from vdb.audit.entry import ALL_SUBJECTS, AuditEntry, Kind
from vdb.changes import Attribution
from vdb.errors import AccessDenied
from vdb.node.gate.by_subject import BySubject
from vdb.node.gate.caller import Caller
from vdb.node.gate.guard_base import GuardBase, Place
from vdb.node.gate.permit import NO_POLICY, Permit
from vdb.policy.decide import AccessRequest, Decision
from vdb.policy.words import PURPOSES, Action
from vdb.sql.conditions import Bindings
from vdb.sql.keeping import Answered, Question, Written
from vdb.sql.rulings import Ruling, counting_for
from vdb.types import DataClass

_NAMED_MAX = 8
"""Actors that one entry names."""


class SqlKeeper:
    """Implements `vdb.sql.keeping.Keeper` for one session of a caller's."""

    def __init__(self, guard: GuardBase, tenant: int, database: str, place: Place, *, door: str = "sql") -> None:
        self._guard = guard
        self._permits = guard.permits
        self._tenant = tenant
        self._database = database
        self._group = place.group
        self._data_class = place.data_class or DataClass.PHI
        self._door = door
        self._by_subject = BySubject(guard.permits, place.group)
        self.position: Callable[[], str] = lambda: ""
        """Up to where the log has been applied that answers are read from."""

    @property
    def is_governed(self) -> bool:
        return self._permits.settings.require_policy or self._permits.book.policy(self._group) is not None

    @property
    def gives_receipts(self) -> bool:
        permits = self._permits
        audited = self._data_class is DataClass.PHI or permits.settings.audit_non_phi_reads
        return audited and permits.gives_receipts

    @property
    def key(self) -> str:
        caller = self._guard.principal
        return "\0".join((caller.principal.name, caller.credential.value, caller.client, caller.purpose, caller.reason))

    def bindings(self, attribution: Attribution) -> Bindings:
        caller = self._caller(attribution)
        return Bindings(principal=caller.principal.name, tenant=self._tenant, purpose=caller.purpose)

    async def ask(self, questions: Sequence[Question], attribution: Attribution) -> Sequence[Ruling]:
        caller = self._caller(attribution)
        rulings = []
        for question in questions:
            ruling, permit = self._ruling(caller, question)
            if ruling is None:
                await self._guard.checked(permit)
                raise AssertionError("what is ruled out is denied")
            rulings.append(ruling)
        return rulings

    def _ruling(self, caller: Caller, question: Question) -> tuple[Ruling | None, Permit]:
        """What a question is answered; None: what the permit says, which denies."""
        request = self._request(caller, question)
        permit = self._permits.decide(caller, request, self._group, self._door, plain=False)
        ruling = Ruling(decision=permit.decision)
        if question.table:
            ruling = self._by_subject.ruling(request, permit.decision, knows_subjects=question.knows_subjects)
        restricted = bool(question.plain and ruling.decisions and not ruling.is_whole)
        if ruling.decisions and not restricted:
            return ruling, permit
        decision = ruling.decision
        if restricted:
            rules = ", ".join(dict.fromkeys(one.rule for one in ruling.decisions))
            reason = f"rule '{rules}' shows some rows or masks columns, and this needs all of them as they are"
            decision = evolve(decision, allowed=False, reason=reason)
        return None, evolve(permit, decision=decision)

    async def deny(self, rulings: Sequence[Ruling], table: str, why: str, attribution: Attribution) -> AccessDenied:
        counting = [decision for ruling in rulings for decision in ruling.decisions]
        permit = self._permit(self._caller(attribution), Action.APPEND, (table,), counting)
        reason = f"table {table}: {why}"
        return await self._permits.deny(evolve(permit, decision=evolve(permit.decision, allowed=False, reason=reason)))

    async def record(self, answers: Sequence[Answered], attribution: Attribution) -> None:
        caller = self._caller(attribution)
        view, position = self._permits.group(self._group).replica.view, self.position()
        entries, permit = [], None
        for answered in answers:
            counting = counting_for(answered.rulings, answered.subjects, ALL_SUBJECTS)
            permit = self._permit(caller, answered.action, answered.tables, counting)
            entries.append(
                permit.entry(
                    Kind.QUERY,
                    detail=_grants(counting),
                    fingerprint=sha256(answered.statement.encode(errors="surrogatepass")).hexdigest(),
                    statement=_text(answered.statement),
                    subjects=answered.subjects,
                    count=answered.count,
                    digest=answered.digest,
                    view=view,
                    position=position,
                )
            )
        if permit is not None:
            await self._guard.record(permit, *entries)

    def note(self, written: Written) -> AuditEntry:
        alike = written.purposes[0] if len(written.purposes) == 1 else ""
        caller = self._caller(Attribution(purpose=alike))
        action = Action.SCHEMA if written.statements else Action.APPEND
        statement = ";\n".join(written.statements)
        counting = counting_for(written.rulings, written.subjects, ALL_SUBJECTS)
        return self._permit(caller, action, written.tables, counting).entry(
            Kind.WRITE,
            on_behalf_of=caller.on_behalf_of or ", ".join(written.actors[:_NAMED_MAX]),
            object=self._database,
            fingerprint=sha256(statement.encode(errors="surrogatepass")).hexdigest() if statement else "",
            statement=_text(statement),
            subjects=written.subjects,
            detail={"rows": str(written.rows)} | _grants(counting),
        )

    def _caller(self, attribution: Attribution) -> Caller:
        """Who asks, for whom, and for what: a session may say so with each of its transactions."""
        caller = self._guard.asking_for(attribution.actor)
        purpose = attribution.purpose if attribution.purpose in PURPOSES else caller.purpose
        return caller if purpose == caller.purpose else evolve(caller, purpose=purpose)

    def _request(self, caller: Caller, question: Question) -> AccessRequest:
        table = question.table
        return AccessRequest(
            principal=caller.principal,
            action=question.action,
            tenant=self._tenant,
            data_class=self._data_class,
            stream=question.database or self._database,
            tables=(table,) if table else (),
            columns=tuple(f"{table}.{column}" for column in question.columns),
            purpose=caller.purpose,
            on_behalf_of=caller.claims,
        )

    def _permit(self, caller: Caller, action: Action, tables: tuple[str, ...], decisions: Sequence[Decision]) -> Permit:
        """Of what was allowed already."""
        rules = dict.fromkeys(decision.rule for decision in decisions)
        grants = dict.fromkeys(decision.grant for decision in decisions if decision.grant)
        if not rules:
            rules = {NO_POLICY: None}
        decision = Decision(
            allowed=True,
            rule=", ".join(rules),
            version=decisions[0].version if decisions else "",
            reason="",
            broke_glass=any(decision.broke_glass for decision in decisions),
            grant=next(iter(grants), 0),
        )
        request = evolve(self._request(caller, Question(action=action)), tables=tables)
        return Permit(
            caller=caller,
            request=request,
            decision=decision,
            group=self._group,
            door=self._door,
            node=self._permits.node,
        )


def _grants(decisions: Sequence[Decision]) -> dict[str, str]:
    """What an entry says of glasses that were broken. Its own field holds one."""
    grants = dict.fromkeys(decision.grant for decision in decisions if decision.grant)
    found = {"broke-glass": "true"} if any(decision.broke_glass for decision in decisions) else {}
    return found if len(grants) < 2 else found | {"grants": ", ".join(map(str, grants))}


def _text(statement: str) -> str:
    """As it stands in JSON, which has no half surrogates."""
    return statement.encode(errors="replace").decode()
