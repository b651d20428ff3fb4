"""The RPC door of governance: policies, broken glasses, consents, attestations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vdb.node.gate.guard import Guard
from vdb.policy.held import ConsentInfo, GrantInfo, PolicyInfo
from vdb.rpc.server import IncomingCall

Handler = Callable[[IncomingCall], None]


def governance_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods."""
    return {**_policy_calls(guard), **_grant_calls(guard), **_consent_calls(guard)}


def _policy_calls(guard: Guard) -> dict[str, Handler]:
    def apply_policy(call: IncomingCall) -> None:
        text, expected = call.params.text, call.params.expectedSerial

        async def run() -> None:
            found = await guard.apply_policy(text, expected)

            def build(results: Any) -> None:
                results.serial, results.version = found.serial, found.version

            call.respond(build)

        call.start_soon(run)

    def get_policy(call: IncomingCall) -> None:
        group = call.params.group

        async def run() -> None:
            found = await guard.get_policy(group)
            call.respond(lambda results: _fill_policy(results, found))

        call.start_soon(run)

    return {"applyPolicy": apply_policy, "getPolicy": get_policy}


def _grant_calls(guard: Guard) -> dict[str, Handler]:
    def break_glass(call: IncomingCall) -> None:
        params = call.params
        tenant, group, subject = params.tenant, params.group, params.subject
        reason, seconds = params.reason, params.seconds

        async def run() -> None:
            found = await guard.break_glass(tenant, group, subject, reason, seconds)

            def build(results: Any) -> None:
                results.grant, results.until = found.grant, found.until

            call.respond(build)

        call.start_soon(run)

    def review(call: IncomingCall) -> None:
        params = call.params
        tenant, group, grant = params.tenant, params.group, params.grant
        verdict, remark = params.verdict, params.remark

        async def run() -> None:
            await guard.review_grant(tenant, group, grant, verdict, remark)
            call.respond()

        call.start_soon(run)

    def list_grants(call: IncomingCall) -> None:
        tenant, group, unreviewed = call.params.tenant, call.params.group, call.params.unreviewed

        async def run() -> None:
            found = await guard.list_grants(tenant, group, unreviewed=unreviewed)

            def build(results: Any) -> None:
                for builder, info in zip(results.init("grants", len(found)), found, strict=True):
                    _fill_grant(builder, info)

            call.respond(build)

        call.start_soon(run)

    return {"breakGlass": break_glass, "reviewGrant": review, "listGrants": list_grants}


def _consent_calls(guard: Guard) -> dict[str, Handler]:
    def put_consent(call: IncomingCall) -> None:
        params = call.params
        tenant, group, subject = params.tenant, params.group, params.subject
        purposes, until, withdraw = tuple(params.purposes), params.until, params.withdraw

        async def run() -> None:
            await guard.put_consent(tenant, group, subject, purposes, until, withdraw=withdraw)
            call.respond()

        call.start_soon(run)

    def list_consents(call: IncomingCall) -> None:
        tenant, group, subject = call.params.tenant, call.params.group, call.params.subject

        async def run() -> None:
            found = await guard.list_consents(tenant, group, subject)

            def build(results: Any) -> None:
                for builder, info in zip(results.init("consents", len(found)), found, strict=True):
                    _fill_consent(builder, info)

            call.respond(build)

        call.start_soon(run)

    def attest(call: IncomingCall) -> None:
        params = call.params
        tenant, stream, expert = params.tenant, params.stream, params.expert
        statement, document = params.statement, bytes(params.documentDigest)

        async def run() -> None:
            await guard.attest(tenant, stream, expert, statement, document)
            call.respond()

        call.start_soon(run)

    return {"putConsent": put_consent, "listConsents": list_consents, "attest": attest}


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
