"""The checker of governance sees what it is there for."""

from __future__ import annotations

from typing import Any

import pytest

from sim.checkers.governed import Governed
from sim.verdict import Verdict
from vdb.errors import RefusalCode
from vdb.kernel.governance_command import OpenGrant, PutConsent, PutPolicy, ReviewGrant
from vdb.kernel.reply import ConsentPut, GrantOpened, GrantReviewed, PolicyPut, Refusal
from vdb.types import TenantId

CLINIC = TenantId(1)
SUBJECT = bytes(32)
REGION = "eu-west-1"
NO = Refusal(RefusalCode.POLICY_CHANGED, "no")


@pytest.fixture
def governed() -> Governed:
    return Governed(Verdict())


def broken(governed: Governed) -> str:
    violation = governed.verdict.violation
    return "" if violation is None else violation.invariant


def put(governed: Governed, group: str, op: int, serial: int, *, text: str = "", taken: bool = True) -> None:
    command = PutPolicy(serial=serial, version=f"v{serial}", text=text or f"t{serial}", by="kim")
    governed.on_committed(group, op, op, command, PolicyPut(serial, command.version) if taken else NO)


def test_policies_and_copies_in_order(governed: Governed) -> None:
    put(governed, "global", 1, 1)
    put(governed, "global", 2, 1, taken=False)
    put(governed, REGION, 1, 1)
    put(governed, "global", 3, 2)
    put(governed, REGION, 2, 2)
    put(governed, REGION, 3, 2)
    assert not broken(governed)
    assert [one.serial for one in governed.policies[REGION]] == [1, 2]
    found = governed.policy_at(REGION, 1)
    assert found is not None
    assert found.serial == 1
    assert governed.policy_at(REGION, 0) is None


@pytest.mark.parametrize(("serial", "taken"), [(1, True), (3, True), (2, False)])
def test_serials_of_the_global_group(governed: Governed, serial: int, taken: bool) -> None:
    put(governed, "global", 1, 1)
    put(governed, "global", 2, serial, taken=taken)
    assert broken(governed) == "G1"


def test_a_copy_before_its_policy_and_one_of_another_text(governed: Governed) -> None:
    put(governed, REGION, 1, 1)
    assert broken(governed) == "G2"
    other = Governed(Verdict())
    put(other, "global", 1, 1)
    put(other, REGION, 1, 1, text="something else")
    assert broken(other) == "G2"


def test_an_older_copy(governed: Governed) -> None:
    for serial in (1, 2):
        put(governed, "global", serial, serial)
    put(governed, REGION, 1, 2)
    put(governed, REGION, 2, 1)
    assert broken(governed) == "G2"


def grant(governed: Governed, op: int, time: int, until: int, *, number: int | None = None) -> None:
    command = OpenGrant(tenant=CLINIC, principal="lee", subject=SUBJECT, until=until, sealed=b"x")
    governed.on_committed(REGION, op, time, command, GrantOpened(time if number is None else number, until))


def review(governed: Governed, op: int, time: int, ends: int, *, number: int = 10, by: str = "kim") -> None:
    command = ReviewGrant(tenant=CLINIC, grant=number, reviewer=by, sealed=b"x")
    governed.on_committed(REGION, op, time, command, GrantReviewed(number, ends))


def test_a_grant_ends_with_its_review(governed: Governed) -> None:
    grant(governed, 1, 10, 1000)
    review(governed, 2, 50, 50)
    assert not broken(governed)
    ((_, held),) = governed.grants_at(REGION, 2).items()
    assert (held.until_at(1), held.until_at(2)) == (1000, 50)
    assert governed.grants_at(REGION, 0) == {}


@pytest.mark.parametrize(("until", "number"), [(10, None), (4 * 3600 * 10**6 + 11, None), (1000, 11)])
def test_grants_that_may_not_be(governed: Governed, until: int, number: int | None) -> None:
    grant(governed, 1, 10, until, number=number)
    assert broken(governed) == "G3"


@pytest.mark.parametrize(("ends", "number", "by"), [(1000, 10, "kim"), (50, 11, "kim"), (50, 10, "lee")])
def test_reviews_that_may_not_be(governed: Governed, ends: int, number: int, by: str) -> None:
    grant(governed, 1, 10, 1000)
    review(governed, 2, 50, ends, number=number, by=by)
    assert broken(governed) == "G3"


def test_a_second_review(governed: Governed) -> None:
    grant(governed, 1, 10, 1000)
    review(governed, 2, 50, 50)
    review(governed, 3, 60, 50)
    assert broken(governed) == "G3"


def consent(governed: Governed, op: int, *purposes: str, withdraw: bool = False, changed: bool = True) -> None:
    command = PutConsent(tenant=CLINIC, subject=SUBJECT, purposes=purposes, withdraw=withdraw, sealed=b"x")
    governed.on_committed(REGION, op, op, command, ConsentPut(changed))


def test_consents_as_of_an_op(governed: Governed) -> None:
    consent(governed, 1, "TREAT", "HRESCH")
    consent(governed, 2, "TREAT", withdraw=True)
    consent(governed, 3, withdraw=True)
    consent(governed, 4, withdraw=True, changed=False)
    assert not broken(governed)
    found: list[Any] = [sorted(governed.consents_at(REGION, op).get((1, SUBJECT), {})) for op in range(5)]
    assert found == [[], ["HRESCH", "TREAT"], ["HRESCH"], [], []]


def test_a_withdrawal_that_is_said_to_change_nothing(governed: Governed) -> None:
    consent(governed, 1, "TREAT")
    consent(governed, 2, withdraw=True, changed=False)
    assert broken(governed) == "G4"
