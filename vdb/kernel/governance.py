"""Policies, broken glasses, consents and attestations: what the log takes of them.

Rules
- The global group makes policies: each has a serial one above the one before, so of two that replace the same one, the
  second is refused. A region's group takes copies, whose serials rise; the same copy once more changes nothing.
- A grant ends at its time, at most `GRANT_SECONDS_MAX` after it was opened, or with its review; nothing prolongs it.
- A grant is reviewed once, by somebody else than who broke the glass.
- Grants and consents are PHI: they lie in a region's group. About an erased subject there are no new ones.
- Which policy is sound, and who may do any of this, the primary judges before it proposes.
"""

from __future__ import annotations

from typing import assert_never

from vdb.errors import RefusalCode
from vdb.kernel.draft import Draft
from vdb.kernel.erasure import SUBJECT_WAS_ERASED, is_erased
from vdb.kernel.governance_command import Attest, GovernanceCommand, OpenGrant, PutConsent, PutPolicy, ReviewGrant
from vdb.kernel.governance_rows import (
    AttestationRow,
    ConsentItem,
    ConsentRow,
    GrantRow,
    PolicyRow,
    is_reviewed,
    unpack_attestation,
    unpack_consent,
    unpack_grant,
    unpack_policy,
)
from vdb.kernel.reply import (
    Attested,
    ConsentPut,
    GrantOpened,
    GrantReviewed,
    PolicyPut,
    Refusal,
    Reply,
)
from vdb.kernel.rows import LOOKUP_SIZE
from vdb.kernel.state import State
from vdb.kernel.tables import (
    ATTESTATIONS,
    CONSENTS,
    CURRENT_POLICY,
    GRANTS,
    POLICY,
    U64,
    consent_key,
    grant_key,
    stream_key,
)
from vdb.kernel.view import View
from vdb.limits import (
    CONSENTS_PER_SUBJECT_MAX,
    GRANT_SECONDS_MAX,
    POLICY_BYTES_MAX,
    PRINCIPAL_BYTES_MAX,
)
from vdb.types import GLOBAL_GROUP, DataClass, StreamId, TenantId

_VERSION_SIZE = len("sha256:") + 64


def held_policy(state: View) -> PolicyRow | None:
    """The policy that holds in the group; None before the first."""
    row = state.rows[POLICY].get(CURRENT_POLICY)
    return None if row is None else unpack_policy(row)


def policy_serial(state: View) -> int:
    """Of the policy that holds in the group; 0 before the first. Reads no more of it."""
    row = state.rows[POLICY].get(CURRENT_POLICY)
    return 0 if row is None else int(U64.unpack_from(row)[0])


def unreviewed_grants(state: State) -> int:
    """How many grants of all tenants nobody has reviewed."""
    return sum(not is_reviewed(row) for row in state.rows[GRANTS].values())


def find_grant(state: View, tenant: TenantId, grant: int) -> GrantRow | None:
    row = state.rows[GRANTS].get(grant_key(tenant, grant))
    return None if row is None else unpack_grant(grant, row)


def find_consent(state: View, tenant: TenantId, subject: bytes) -> ConsentRow | None:
    row = state.rows[CONSENTS].get(consent_key(tenant, subject))
    return None if row is None else unpack_consent(row)


def find_attestation(state: View, tenant: TenantId, stream: StreamId) -> AttestationRow | None:
    row = state.rows[ATTESTATIONS].get(stream_key(tenant, stream))
    return None if row is None else unpack_attestation(row)


def govern(draft: Draft, command: GovernanceCommand) -> Reply:
    """Execute one of them."""
    match command:
        case PutPolicy():
            return _put_policy(draft, command)
        case OpenGrant():
            return _open_grant(draft, command)
        case ReviewGrant():
            return _review_grant(draft, command)
        case PutConsent():
            return _put_consent(draft, command)
        case Attest():
            return _attest(draft, command)
        case _:
            assert_never(command)


# Policies ------------------------------------------------------------------------------------------------------


def check_policy(state: View, command: PutPolicy) -> Refusal | None:
    """Why it isn't taken; None if it is, or is there already."""
    if len(command.version) != _VERSION_SIZE or not command.version.startswith("sha256:"):
        return _invalid(f"a policy's version has {_VERSION_SIZE} characters; found {len(command.version)}")
    size = len(command.text.encode())
    if not 1 <= size <= POLICY_BYTES_MAX:
        return Refusal(RefusalCode.TOO_LARGE, f"a policy's text has 1 to {POLICY_BYTES_MAX} bytes; found {size}")
    wrong = _wrong_principal(command.by)
    if wrong is not None:
        return wrong
    held = held_policy(state)
    serial = 0 if held is None else held.serial
    if state.group == GLOBAL_GROUP:
        if command.serial != serial + 1:
            return Refusal(
                RefusalCode.POLICY_CHANGED,
                f"expected a policy that replaces serial {serial}, found one that replaces {command.serial - 1}: look "
                "at the one that holds",
            )
        return None
    if command.serial < serial or command.serial == 0:
        return Refusal(
            RefusalCode.POLICY_CHANGED,
            f"group {state.group} has serial {serial}: expected a later one, found {command.serial}",
        )
    if held is not None and command.serial == serial and command.version != held.version:
        return Refusal(
            RefusalCode.POLICY_CHANGED, f"serial {serial} is {held.version} in group {state.group}; found another"
        )
    return None


def _put_policy(draft: Draft, command: PutPolicy) -> Reply:
    refusal = check_policy(draft, command)
    if refusal is not None:
        return refusal
    held = held_policy(draft)
    if held is None or held.serial != command.serial:
        assert held is None or held.serial < command.serial, "serials rise"
        row = PolicyRow(
            serial=command.serial,
            version=command.version,
            by=command.by,
            applied_at=draft.last_timestamp,
            text=command.text,
        )
        draft.put(POLICY, CURRENT_POLICY, row.pack())
    return PolicyPut(command.serial, command.version)


# Grants --------------------------------------------------------------------------------------------------------


def check_open_grant(state: View, tenant: TenantId, principal: str, subject: bytes, seconds: float) -> Refusal | None:
    """Why the glass can't be broken for so long; None if it can."""
    refusal = _wrong_place(state, tenant, "a grant") or _wrong_principal(principal)
    if refusal is not None:
        return refusal
    if len(subject) not in (0, LOOKUP_SIZE):
        return _invalid(f"a subject's lookup has {LOOKUP_SIZE} bytes; found {len(subject)}")
    if not 0 < seconds <= GRANT_SECONDS_MAX:
        return _invalid(f"a grant lasts up to {GRANT_SECONDS_MAX} s; found {seconds:g}")
    return _about_erased(state, tenant, subject)


def _open_grant(draft: Draft, command: OpenGrant) -> Reply:
    grant = draft.last_timestamp
    refusal = check_open_grant(draft, command.tenant, command.principal, command.subject, (command.until - grant) / 1e6)
    if refusal is not None:
        return refusal
    assert command.sealed, "a grant that is taken says for whom and why"
    key = grant_key(command.tenant, grant)
    assert key not in draft.rows[GRANTS], "the time of a request is its own"
    row = GrantRow(
        grant=grant,
        principal=command.principal,
        subject=command.subject,
        until=command.until,
        sealed=command.sealed,
    )
    draft.put(GRANTS, key, row.pack())
    return GrantOpened(grant, command.until)


def check_review(state: View, tenant: TenantId, grant: int, reviewer: str) -> Refusal | None:
    """Why this review isn't taken; None if it is."""
    refusal = _wrong_place(state, tenant, "a grant") or _wrong_principal(reviewer)
    if refusal is not None:
        return refusal
    held = find_grant(state, tenant, grant)
    if held is None:
        return _invalid(f"tenant {tenant} has no grant {grant} in group {state.group}")
    if held.principal == reviewer:
        return Refusal(
            RefusalCode.ACCESS_DENIED, "a grant is reviewed by somebody else than who broke the glass; found the same"
        )
    if held.is_reviewed:
        return _invalid(f"grant {grant} was reviewed already: expected one that wasn't")
    return None


def _review_grant(draft: Draft, command: ReviewGrant) -> Reply:
    refusal = check_review(draft, command.tenant, command.grant, command.reviewer)
    if refusal is not None:
        return refusal
    assert command.sealed, "a review that is taken has a verdict"
    held = find_grant(draft, command.tenant, command.grant)
    assert held is not None
    reviewed = held.reviewed(command.reviewer, command.sealed, draft.last_timestamp)
    draft.put(GRANTS, grant_key(command.tenant, command.grant), reviewed.pack())
    return GrantReviewed(command.grant, reviewed.until)


# Consents ------------------------------------------------------------------------------------------------------


def check_consent(state: View, command: PutConsent, time: int) -> Refusal | None:
    """Why it isn't taken at this time; None if it is."""
    refusal = _wrong_place(state, command.tenant, "a consent")
    if refusal is not None:
        return refusal
    if len(command.subject) != LOOKUP_SIZE:
        return _invalid(f"a subject's lookup has {LOOKUP_SIZE} bytes; found {len(command.subject)}")
    if len(dict.fromkeys(command.purposes)) != len(command.purposes):
        return _invalid("a consent names a purpose once; found one twice")
    if not command.withdraw:
        if not command.purposes:
            return _invalid("a consent names at least one purpose; found none")
        if command.until and command.until <= time:
            return _invalid("a consent ends in the time to come; found an end that is over")
        held = find_consent(state, command.tenant, command.subject)
        named = dict.fromkeys((*command.purposes, *(item.purpose for item in held.items if held))) if held else {}
        if max(len(named), len(command.purposes)) > CONSENTS_PER_SUBJECT_MAX:
            return _invalid(f"a subject consents to at most {CONSENTS_PER_SUBJECT_MAX} purposes; found {len(named)}")
        return _about_erased(state, command.tenant, command.subject)
    return None


def _put_consent(draft: Draft, command: PutConsent) -> Reply:
    time = draft.last_timestamp
    refusal = check_consent(draft, command, time)
    if refusal is not None:
        return refusal
    key = consent_key(command.tenant, command.subject)
    held = find_consent(draft, command.tenant, command.subject)
    others = () if held is None else held.items
    if command.withdraw:
        kept = tuple(item for item in others if command.purposes and item.purpose not in command.purposes)
        if len(kept) == len(others):
            return ConsentPut(changed=False)
        assert held is not None
        if kept:
            draft.put(CONSENTS, key, ConsentRow(items=kept, sealed=held.sealed).pack())
        else:
            draft.remove(CONSENTS, key)
        return ConsentPut(changed=True)
    assert command.sealed, "a consent that is taken says whose it is"
    kept = tuple(item for item in others if item.purpose not in command.purposes)
    given = tuple(ConsentItem(purpose, command.until, time) for purpose in command.purposes)
    draft.put(CONSENTS, key, ConsentRow(items=(*kept, *given), sealed=command.sealed).pack())
    return ConsentPut(changed=True)


# Attestations --------------------------------------------------------------------------------------------------


def check_attest(state: View, tenant: TenantId, stream: StreamId, by: str) -> Refusal | None:
    """Why it isn't taken; None if it is."""
    wrong = _wrong_principal(by)
    if wrong is not None:
        return wrong
    held = state.stream(tenant, stream)
    if held is None:
        return Refusal(RefusalCode.UNKNOWN_STREAM, f"tenant {tenant} has no stream {stream} in group {state.group}")
    if held.data_class is not DataClass.DEIDENTIFIED:
        return _invalid(
            f"an expert attests to a de-identified stream; found stream {stream} of class {held.data_class.label}"
        )
    return None


def _attest(draft: Draft, command: Attest) -> Reply:
    refusal = check_attest(draft, command.tenant, command.stream, command.by)
    if refusal is not None:
        return refusal
    assert command.sealed, "an attestation that is taken says who attests to what"
    row = AttestationRow(attested_at=draft.last_timestamp, by=command.by, sealed=command.sealed)
    draft.put(ATTESTATIONS, stream_key(command.tenant, command.stream), row.pack())
    return Attested(command.stream)


def _about_erased(state: View, tenant: TenantId, subject: bytes) -> Refusal | None:
    """Nothing more is written about a subject that was erased."""
    if subject and is_erased(state, tenant, subject):
        return Refusal(RefusalCode.SUBJECT_ERASED, SUBJECT_WAS_ERASED)
    return None


def _wrong_place(state: View, tenant: TenantId, what: str) -> Refusal | None:
    if tenant == 0:
        return _invalid("a tenant id starts at 1; found 0")
    if state.group == GLOBAL_GROUP:
        return Refusal(RefusalCode.PLACEMENT_VIOLATION, f"{what} says whose data there are: it needs a region")
    return None


def _wrong_principal(name: str) -> Refusal | None:
    size = len(name.encode())
    if not 1 <= size <= PRINCIPAL_BYTES_MAX:
        return _invalid(f"a principal's name has 1 to {PRINCIPAL_BYTES_MAX} bytes; found {size}")
    return None


def _invalid(message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID_ARGUMENT, message)
