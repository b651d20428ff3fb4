"""The RPC door of governance: policies, broken glasses, consents, attestations."""

from __future__ import annotations

from functools import partial
from typing import Any

from vdb.kernel.reply import GrantOpened, PolicyPut
from vdb.node.doors.answering import Handler, answer, listed
from vdb.node.gate.guard import Guard
from vdb.policy.held import ConsentInfo, GrantInfo, PolicyInfo
from vdb.rpc.server import IncomingCall


def governance_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods."""
    return {**_policy_calls(guard), **_grant_calls(guard), **_consent_calls(guard)}


def _policy_calls(guard: Guard) -> dict[str, Handler]:
    def apply_policy(call: IncomingCall) -> None:
        answer(call, partial(guard.apply_policy, call.params.text, call.params.expectedSerial), _fill_applied)

    def get_policy(call: IncomingCall) -> None:
        answer(call, partial(guard.get_policy, call.params.group), _fill_policy)

    return {"applyPolicy": apply_policy, "getPolicy": get_policy}


def _grant_calls(guard: Guard) -> dict[str, Handler]:
    def break_glass(call: IncomingCall) -> None:
        params = call.params
        tenant, group, subject = params.tenant, params.group, params.subject
        work = partial(guard.break_glass, tenant, group, subject, params.reason, params.seconds)
        answer(call, work, _fill_broken)

    def review(call: IncomingCall) -> None:
        params = call.params
        tenant, group, grant = params.tenant, params.group, params.grant
        answer(call, partial(guard.review_grant, tenant, group, grant, params.verdict, params.remark))

    def list_grants(call: IncomingCall) -> None:
        params = call.params
        work = partial(guard.list_grants, params.tenant, params.group, unreviewed=params.unreviewed)
        answer(call, work, listed("grants", _fill_grant))

    return {"breakGlass": break_glass, "reviewGrant": review, "listGrants": list_grants}


def _consent_calls(guard: Guard) -> dict[str, Handler]:
    def put_consent(call: IncomingCall) -> None:
        params = call.params
        tenant, group, subject = params.tenant, params.group, params.subject
        purposes, until, withdraw = tuple(params.purposes), params.until, params.withdraw
        answer(call, partial(guard.put_consent, tenant, group, subject, purposes, until, withdraw=withdraw))

    def list_consents(call: IncomingCall) -> None:
        params = call.params
        work = partial(guard.list_consents, params.tenant, params.group, params.subject)
        answer(call, work, listed("consents", _fill_consent))

    def attest(call: IncomingCall) -> None:
        params = call.params
        tenant, stream, expert = params.tenant, params.stream, params.expert
        statement, document = params.statement, bytes(params.documentDigest)
        answer(call, partial(guard.attest, tenant, stream, expert, statement, document))

    return {"putConsent": put_consent, "listConsents": list_consents, "attest": attest}


def _fill_applied(results: Any, found: PolicyPut) -> None:
    results.serial, results.version = found.serial, found.version


def _fill_broken(results: Any, found: GrantOpened) -> None:
    results.grant, results.until = found.grant, found.until


def _fill_policy(results: Any, found: PolicyInfo) -> None:
    results.serial, results.version, results.text = found.serial, found.version, found.text
    results.appliedAt, results.appliedBy = found.applied_at, found.applied_by


def _fill_grant(builder: Any, info: GrantInfo) -> None:
    builder.grant, builder.principal, builder.subject = info.grant, info.principal, info.subject
    builder.reason, builder.opened, builder.until = info.reason, info.opened, info.until
    builder.reviewer, builder.verdict, builder.remark = info.reviewer, info.verdict, info.remark
    builder.reviewed = info.reviewed


def _fill_consent(builder: Any, info: ConsentInfo) -> None:
    builder.subject, builder.purposes = info.subject, list(info.purposes)
    builder.until, builder.given = info.until, info.given
