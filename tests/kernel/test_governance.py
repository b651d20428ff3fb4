"""Policies, grants, consents and attestations: what the log takes of them."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import RefusalCode
from vdb.kernel.governance import (
    find_attestation,
    find_consent,
    find_grant,
    held_policy,
    policy_serial,
    unreviewed_grants,
)
from vdb.kernel.governance_command import Attest, OpenGrant, PutConsent, PutPolicy, ReviewGrant
from vdb.kernel.governance_rows import (
    AttestationRow,
    ConsentItem,
    ConsentRow,
    GrantRow,
    PolicyRow,
    unpack_attestation,
    unpack_consent,
    unpack_grant,
    unpack_policy,
)
from vdb.kernel.reply import Attested, ConsentPut, GrantOpened, GrantReviewed, PolicyPut, Refusal
from vdb.kernel.reply_codec import decode_reply, encode_reply
from vdb.kernel.tables import CONSENTS
from vdb.limits import GRANT_SECONDS_MAX, POLICY_BYTES_MAX
from vdb.types import DataClass, StreamId, TenantId

SUBJECT = sha256(b"p-1").digest()
LEE, KIM = "spiffe://clinic.example/lee", "spiffe://clinic.example/kim"
CLINIC = TenantId(1)
u64 = st.integers(0, 2**64 - 1)
texts = st.text(max_size=20)
lookups = st.binary(min_size=32, max_size=32)


def version_of(text: str) -> str:
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def policy(serial: int, text: str = 'name = "clinic"', by: str = LEE) -> PutPolicy:
    return PutPolicy(serial=serial, version=version_of(text), text=text, by=by)


def refused(primary: Any, command: Any) -> tuple[RefusalCode, str]:
    """Code and message of a refusal, which changes nothing."""
    before = primary.state.rows
    effects, reply = primary.apply(command)
    assert effects == ()
    assert isinstance(reply, Refusal), reply
    assert primary.state.rows == before
    return reply.code, reply.message


# Policies ------------------------------------------------------------------------------------------------------


def test_the_global_group_makes_serials(global_primary) -> None:
    assert policy_serial(global_primary.state) == 0
    for serial in (1, 2):
        text = f'name = "clinic-{serial}"'
        assert global_primary.apply(policy(serial, text))[1] == PolicyPut(serial, version_of(text))
        assert held_policy(global_primary.state) == PolicyRow(
            serial=serial, version=version_of(text), by=LEE, applied_at=global_primary.clock, text=text
        )
    assert policy_serial(global_primary.state) == 2


@pytest.mark.parametrize("serial", [0, 1, 3])
def test_of_two_that_replace_the_same_policy_the_second_is_refused(global_primary, serial: int) -> None:
    global_primary.apply(policy(1))
    code, message = refused(global_primary, policy(serial))
    assert code is RefusalCode.POLICY_CHANGED
    assert message == (
        f"expected a policy that replaces serial 1, found one that replaces {serial - 1}: look at the one that holds"
    )


def test_a_region_takes_copies_that_rise_and_may_leave_some_out(primary) -> None:
    for serial in (2, 5):
        assert primary.apply(policy(serial))[1] == PolicyPut(serial, policy(serial).version)
    assert policy_serial(primary.state) == 5
    assert refused(primary, policy(4)) == (
        RefusalCode.POLICY_CHANGED,
        "group eu-west-1 has serial 5: expected a later one, found 4",
    )
    assert refused(primary, policy(0))[0] is RefusalCode.POLICY_CHANGED


def test_the_same_copy_once_more_changes_nothing(primary) -> None:
    primary.apply(policy(3))
    held = held_policy(primary.state)
    assert primary.apply(policy(3))[1] == PolicyPut(3, policy(3).version)
    assert held_policy(primary.state) == held
    other = policy(3, 'name = "other"')
    assert refused(primary, other) == (
        RefusalCode.POLICY_CHANGED,
        f"serial 3 is {policy(3).version} in group eu-west-1; found another",
    )


def test_bounds_of_a_policy(primary) -> None:
    assert refused(primary, policy(1, "")) == (
        RefusalCode.TOO_LARGE,
        f"a policy's text has 1 to {POLICY_BYTES_MAX} bytes; found 0",
    )
    assert refused(primary, policy(1, "x" * (POLICY_BYTES_MAX + 1)))[0] is RefusalCode.TOO_LARGE
    assert refused(primary, evolve(policy(1), version="sha256:0"))[1] == "a policy's version has 71 characters; found 8"
    assert refused(primary, policy(1, by=""))[1] == "a principal's name has 1 to 512 bytes; found 0"


# Grants --------------------------------------------------------------------------------------------------------


def open_grant(primary: Any, seconds: float = 600, **fields: Any) -> OpenGrant:
    """For the next request."""
    until = primary.clock + 1 + int(seconds * 1e6)
    given = {"tenant": CLINIC, "principal": LEE, "subject": SUBJECT, "until": until, "sealed": b"why"}
    return OpenGrant(**(given | fields))


def test_a_grant_has_the_time_of_its_request_for_a_number(primary) -> None:
    command = open_grant(primary)
    effects, reply = primary.apply(command)
    assert (effects, reply) == ((), GrantOpened(primary.clock, primary.clock + 600_000_000))
    assert find_grant(primary.state, CLINIC, primary.clock) == GrantRow(
        grant=primary.clock, principal=LEE, subject=SUBJECT, until=command.until, sealed=b"why"
    )
    assert find_grant(primary.state, TenantId(2), primary.clock) is None


@pytest.mark.parametrize("seconds", [0, -1, GRANT_SECONDS_MAX + 1])
def test_a_grant_never_lasts_longer_than_it_may(primary, seconds: int) -> None:
    assert refused(primary, open_grant(primary, seconds)) == (
        RefusalCode.INVALID_ARGUMENT,
        f"a grant lasts up to {GRANT_SECONDS_MAX} s; found {seconds}",
    )


def test_grants_and_consents_need_a_region(global_primary) -> None:
    assert refused(global_primary, open_grant(global_primary)) == (
        RefusalCode.PLACEMENT_VIOLATION,
        "a grant says whose data there are: it needs a region",
    )
    assert refused(global_primary, PutConsent(tenant=CLINIC, subject=SUBJECT, purposes=("TREAT",), sealed=b"x")) == (
        RefusalCode.PLACEMENT_VIOLATION,
        "a consent says whose data there are: it needs a region",
    )


def test_what_a_grant_must_name(primary) -> None:
    assert refused(primary, open_grant(primary, tenant=TenantId(0)))[1] == "a tenant id starts at 1; found 0"
    assert refused(primary, open_grant(primary, principal=""))[0] is RefusalCode.INVALID_ARGUMENT
    assert refused(primary, open_grant(primary, subject=b"p-1"))[1] == "a subject's lookup has 32 bytes; found 3"


def review(grant: int, reviewer: str = KIM) -> ReviewGrant:
    return ReviewGrant(tenant=CLINIC, grant=grant, reviewer=reviewer, sealed=b"justified")


def test_a_review_ends_a_grant(primary) -> None:
    primary.apply(open_grant(primary))
    grant = primary.clock
    assert primary.apply(review(grant))[1] == GrantReviewed(grant, primary.clock)
    held = find_grant(primary.state, CLINIC, grant)
    assert held is not None
    assert held.is_reviewed
    assert (held.until, held.reviewed_at, held.reviewer) == (primary.clock, primary.clock, KIM)
    assert (held.sealed, held.sealed_review) == (b"why", b"justified")
    assert unreviewed_grants(primary.state) == 0
    primary.apply(open_grant(primary))
    assert unreviewed_grants(primary.state) == 1


def test_a_review_after_the_end_doesnt_prolong_a_grant(primary) -> None:
    primary.apply(open_grant(primary, 1e-6))
    grant = primary.clock
    primary.clock += 1000
    assert primary.apply(review(grant))[1] == GrantReviewed(grant, grant + 1)


def test_who_broke_the_glass_doesnt_review_it_and_nobody_does_twice(primary) -> None:
    primary.apply(open_grant(primary))
    grant = primary.clock
    assert refused(primary, review(grant, LEE)) == (
        RefusalCode.ACCESS_DENIED,
        "a grant is reviewed by somebody else than who broke the glass; found the same",
    )
    primary.apply(review(grant))
    assert refused(primary, review(grant)) == (
        RefusalCode.INVALID_ARGUMENT,
        f"grant {grant} was reviewed already: expected one that wasn't",
    )
    assert refused(primary, review(7))[1] == "tenant 1 has no grant 7 in group eu-west-1"


def test_a_grant_that_is_taken_without_a_reason_is_a_bug(primary) -> None:
    with pytest.raises(AssertionError, match="says for whom and why"):
        primary.apply(open_grant(primary, sealed=b""))


# Consents ------------------------------------------------------------------------------------------------------


def give(*purposes: str, until: int = 0) -> PutConsent:
    return PutConsent(tenant=CLINIC, subject=SUBJECT, purposes=purposes, until=until, sealed=b"p-1")


def withdraw(*purposes: str) -> PutConsent:
    return PutConsent(tenant=CLINIC, subject=SUBJECT, purposes=purposes, withdraw=True)


def items(primary: Any) -> list[tuple[str, int]] | None:
    row = find_consent(primary.state, CLINIC, SUBJECT)
    return None if row is None else [(item.purpose, item.until) for item in row.items]


def test_consents_are_given_renewed_and_withdrawn(primary) -> None:
    assert primary.apply(give("TREAT", "HRESCH"))[1] == ConsentPut(changed=True)
    first = primary.clock
    later = primary.clock + 10_000
    assert primary.apply(give("HRESCH", until=later))[1] == ConsentPut(changed=True)
    assert items(primary) == [("TREAT", 0), ("HRESCH", later)]
    row = find_consent(primary.state, CLINIC, SUBJECT)
    assert row is not None
    assert [item.given_at for item in row.items] == [first, primary.clock]
    assert primary.apply(withdraw("TREAT"))[1] == ConsentPut(changed=True)
    assert items(primary) == [("HRESCH", later)]
    assert primary.apply(withdraw("TREAT"))[1] == ConsentPut(changed=False)
    assert primary.apply(withdraw())[1] == ConsentPut(changed=True)
    assert items(primary) is None
    assert len(primary.state.rows[CONSENTS]) == 0
    assert primary.apply(withdraw())[1] == ConsentPut(changed=False)


def test_what_a_consent_must_name(primary) -> None:
    assert refused(primary, give())[1] == "a consent names at least one purpose; found none"
    assert refused(primary, give("TREAT", "TREAT"))[1] == "a consent names a purpose once; found one twice"
    assert refused(primary, give("TREAT", until=primary.clock))[1] == (
        "a consent ends in the time to come; found an end that is over"
    )
    assert refused(primary, evolve(give("TREAT"), subject=b""))[1] == "a subject's lookup has 32 bytes; found 0"
    many = [f"P{number}" for number in range(64)]
    primary.apply(give(*many))
    assert refused(primary, give("TREAT"))[1] == "a subject consents to at most 64 purposes; found 65"


# Attestations --------------------------------------------------------------------------------------------------


def test_an_expert_attests_to_a_deidentified_stream(primary) -> None:
    stream = primary.create(1, "cohort", DataClass.DEIDENTIFIED)
    command = Attest(tenant=CLINIC, stream=stream, by=KIM, sealed=b"Dr. Expert")
    assert find_attestation(primary.state, CLINIC, stream) is None
    assert primary.apply(command)[1] == Attested(stream)
    assert find_attestation(primary.state, CLINIC, stream) == AttestationRow(
        attested_at=primary.clock, by=KIM, sealed=b"Dr. Expert"
    )


def test_no_other_stream_is_attested_to(primary) -> None:
    stream = primary.create(1, "notes", DataClass.PHI)
    command = Attest(tenant=CLINIC, stream=stream, by=KIM, sealed=b"x")
    assert refused(primary, command)[1] == (
        f"an expert attests to a de-identified stream; found stream {stream} of class phi"
    )
    assert refused(primary, evolve(command, stream=StreamId(99)))[0] is RefusalCode.UNKNOWN_STREAM


# Bytes ---------------------------------------------------------------------------------------------------------

rows = st.one_of(
    st.builds(PolicyRow, serial=u64, version=texts, by=texts, applied_at=u64, text=texts),
    st.builds(
        GrantRow,
        grant=st.just(7),
        principal=texts,
        subject=st.one_of(st.just(b""), lookups),
        until=u64,
        sealed=st.binary(max_size=20),
        reviewed_at=u64,
        reviewer=texts,
        sealed_review=st.binary(max_size=20),
    ),
    st.builds(
        ConsentRow,
        items=st.lists(st.builds(ConsentItem, texts, u64, u64), max_size=4).map(tuple),
        sealed=st.binary(max_size=20),
    ),
    st.builds(AttestationRow, attested_at=u64, by=texts, sealed=st.binary(max_size=20)),
)


@given(rows)
def test_rows_survive_being_packed(row: Any) -> None:
    unpack = {
        PolicyRow: unpack_policy,
        GrantRow: lambda packed: unpack_grant(7, packed),
        ConsentRow: unpack_consent,
        AttestationRow: unpack_attestation,
    }[type(row)]
    assert unpack(row.pack()) == row


@given(
    st.one_of(
        st.builds(PolicyPut, u64, texts),
        st.builds(GrantOpened, u64, u64),
        st.builds(GrantReviewed, u64, u64),
        st.builds(ConsentPut, st.booleans()),
        st.builds(Attested, u64),
    )
)
def test_replies_survive_being_stored(reply: Any) -> None:
    assert decode_reply(encode_reply(reply)) == reply
