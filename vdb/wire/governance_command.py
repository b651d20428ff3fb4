"""Commands of governance in a prepare's body (`schemas/command.capnp`): into builders, and back out of readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

from vdb.errors import WireError
from vdb.kernel.governance_command import Attest, GovernanceCommand, OpenGrant, PutConsent, PutPolicy, ReviewGrant
from vdb.types import StreamId, TenantId


def encode_governance(builder: Any, command: GovernanceCommand) -> None:
    """Fill a request's builder."""
    match command:
        case PutPolicy():
            target = builder.init("putPolicy")
            target.serial = command.serial
            target.version = command.version
            target.text = command.text
            target.by = command.by
        case OpenGrant():
            target = builder.init("openGrant")
            target.tenant = command.tenant
            target.principal = command.principal
            target.subject = command.subject
            target.until = command.until
            target.sealed = command.sealed
        case ReviewGrant():
            target = builder.init("reviewGrant")
            target.tenant = command.tenant
            target.grant = command.grant
            target.reviewer = command.reviewer
            target.sealed = command.sealed
        case PutConsent():
            target = builder.init("putConsent")
            target.tenant = command.tenant
            target.subject = command.subject
            target.purposes = list(command.purposes)
            target.until = command.until
            target.withdraw = command.withdraw
            target.sealed = command.sealed
        case Attest():
            target = builder.init("attest")
            target.tenant = command.tenant
            target.stream = command.stream
            target.by = command.by
            target.sealed = command.sealed
        case _:
            assert_never(command)


def _decode_policy(reader: Any) -> PutPolicy:
    policy = reader._get("putPolicy")
    return PutPolicy(
        serial=policy._get("serial"),
        version=policy._get("version"),
        text=policy._get("text"),
        by=policy._get("by"),
    )


def _decode_open(reader: Any) -> OpenGrant:
    grant = reader._get("openGrant")
    return OpenGrant(
        tenant=TenantId(grant._get("tenant")),
        principal=grant._get("principal"),
        subject=grant._get("subject"),
        until=_time(grant._get("until")),
        sealed=grant._get("sealed"),
    )


def _decode_review(reader: Any) -> ReviewGrant:
    review = reader._get("reviewGrant")
    return ReviewGrant(
        tenant=TenantId(review._get("tenant")),
        grant=review._get("grant"),
        reviewer=review._get("reviewer"),
        sealed=review._get("sealed"),
    )


def _decode_consent(reader: Any) -> PutConsent:
    consent = reader._get("putConsent")
    return PutConsent(
        tenant=TenantId(consent._get("tenant")),
        subject=consent._get("subject"),
        purposes=tuple(consent._get("purposes")),
        until=_time(consent._get("until")),
        withdraw=consent._get("withdraw"),
        sealed=consent._get("sealed"),
    )


def _decode_attest(reader: Any) -> Attest:
    attest = reader._get("attest")
    return Attest(
        tenant=TenantId(attest._get("tenant")),
        stream=StreamId(attest._get("stream")),
        by=attest._get("by"),
        sealed=attest._get("sealed"),
    )


def _time(micros: int) -> int:
    if micros < 0:
        raise WireError(f"a time is microseconds since 1970; found {micros}")
    return micros


GOVERNANCE_DECODERS: dict[str, Callable[[Any], GovernanceCommand]] = {
    "putPolicy": _decode_policy,
    "openGrant": _decode_open,
    "reviewGrant": _decode_review,
    "putConsent": _decode_consent,
    "attest": _decode_attest,
}
