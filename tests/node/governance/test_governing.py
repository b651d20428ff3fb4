"""Policies, broken glasses, consents and attestations on a node, through its guard."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from vdb.audit.entry import Kind, Outcome
from vdb.audit.search import AuditSearch
from vdb.errors import (
    AccessDenied,
    InvalidArgument,
    NotAvailable,
    PolicyChanged,
    TooLarge,
    UnknownStream,
    UnknownTenant,
)
from vdb.kernel.command import INTERNAL
from vdb.kernel.governance import policy_serial
from vdb.limits import POLICY_BYTES_MAX
from vdb.node.governance.deidentified import is_attested
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.policy.decide import AccessRequest, Principal, decide
from vdb.policy.words import Action
from vdb.types import GLOBAL_GROUP, DataClass, GroupId
from vdb.wire.event import encode_batch

REGION = GroupId("ap-southeast-2")


async def prepare(node: Any, as_: Any, clinic: str) -> None:
    """A tenant with notes, and the policy."""
    await node.service.create_stream(INTERNAL, 1, "notes", DataClass.PHI, REGION)
    await as_(node, "kim").apply_policy(clinic, 0)


def may(node: Any, name: str, action: Action, subject: str, purpose: str, time: int) -> Any:
    """What the region's policy decides."""
    book = node.service.governance.book
    request = AccessRequest(
        principal=Principal(name=name),
        action=action,
        tenant=1,
        data_class=DataClass.PHI,
        stream="notes",
        subject=subject,
        purpose=purpose,
        time=time,
    )
    return decide(
        book.policy(REGION),
        request,
        grants=book.grants(REGION, 1, name),
        consents=book.consents(REGION, 1, subject),
    ).allowed


# Policies ------------------------------------------------------------------------------------------------------


async def test_a_policy_is_applied_and_carried_into_the_region(start, as_, clinic) -> None:
    async with start() as node:
        assert (await as_(node, "kim").get_policy("")).serial == 0
        applied = await as_(node, "kim").apply_policy(clinic, 0)
        for group in (REGION, GLOBAL_GROUP):
            found = await as_(node, "kim").get_policy(group)
            assert (found.serial, found.version, found.text, found.applied_by) == (1, applied.version, clinic, "kim")
        with trio.fail_after(10):
            assert (await as_(node, "kim").apply_policy(clinic + "\n# the same\n", 1)).serial == 2
        assert policy_serial(node.groups[REGION].state) == 2
    async with start() as node:
        assert (await as_(node, "kim").get_policy("")).serial == 2
        assert node.service.governance.book.policy(REGION).version == applied.version


async def test_the_text_is_for_those_who_govern(start, as_, clinic) -> None:
    async with start() as node:
        await as_(node, "kim").apply_policy(clinic, 0)
        found = await as_(node, "lee").get_policy("")
        assert (found.serial, found.text) == (1, "")


async def test_only_who_may_applies_a_policy_and_only_over_the_one_they_saw(start, as_, clinic) -> None:
    async with start() as node:
        await as_(node, "kim").apply_policy(clinic, 0)
        with pytest.raises(AccessDenied, match="no rule allows 'policy'"):
            await as_(node, "lee").apply_policy(clinic, 1)
        other = clinic.replace("minutes = 60", "minutes = 30")
        with pytest.raises(PolicyChanged, match="expected a policy that replaces serial 1, found one that replaces 0"):
            await as_(node, "kim").apply_policy(other, 0)
        assert (await as_(node, "kim").apply_policy(clinic, 0)).serial == 1, "the same, after an answer that was lost"


async def test_a_policy_that_isnt_sound_isnt_taken(start, as_, clinic) -> None:
    case = '[[case]]\nname = "x"\nprincipal = "lee"\naction = "read"\nclass = "phi"\nallowed = true\n'
    async with start() as node:
        kim = as_(node, "kim")
        with pytest.raises(InvalidArgument, match="the policy isn't TOML"):
            await kim.apply_policy("name =", 0)
        with pytest.raises(InvalidArgument, match="1 of 1 cases beside the policy fail, so it isn't taken: case 'x'"):
            await kim.apply_policy(clinic + case, 0)
        with pytest.raises(TooLarge, match=f"at most {POLICY_BYTES_MAX} bytes"):
            await kim.apply_policy("#" * (POLICY_BYTES_MAX + 1), 0)
        with pytest.raises(AccessDenied, match="under this policy 'lee' couldn't apply another one"):
            await as_(node, "lee").apply_policy(clinic, 0)
        assert (await kim.get_policy("")).serial == 0
        told = [(entry.actor, entry.outcome, entry.code) for entry in await entries(node, 0, GLOBAL_GROUP)]
        assert told == [
            ("kim", Outcome.REFUSED, "INVALID_ARGUMENT"),
            ("kim", Outcome.REFUSED, "INVALID_ARGUMENT"),
            ("kim", Outcome.REFUSED, "TOO_LARGE"),
            ("lee", Outcome.REFUSED, "ACCESS_DENIED"),
        ]


# Broken glasses ------------------------------------------------------------------------------------------------


async def test_a_glass_is_broken_used_and_reviewed(start, as_, clinic) -> None:
    async with start() as node:
        await prepare(node, as_, clinic)
        lee, kim = as_(node, "lee"), as_(node, "kim")
        assert not may(node, "lee", Action.READ, "p-1", "BTG", 0)
        opened = await lee.break_glass(1, "", "p-1", "unconscious", 600)
        assert opened.until == opened.grant + 600_000_000
        assert may(node, "lee", Action.READ, "p-1", "BTG", opened.grant)
        assert not may(node, "lee", Action.READ, "p-2", "BTG", opened.grant), "it is for one patient"
        assert not may(node, "may", Action.READ, "p-1", "BTG", opened.grant), "it is for one person"
        assert not may(node, "lee", Action.READ, "p-1", "BTG", opened.until), "it ends"
        (waiting,) = await kim.list_grants(1, "", unreviewed=True)
        assert (waiting.grant, waiting.principal, waiting.subject) == (opened.grant, "lee", "p-1")
        assert (waiting.reason, waiting.reviewer) == ("unconscious", "")
        await kim.review_grant(1, "", opened.grant, "justified", "a clear case")
        assert not may(node, "lee", Action.READ, "p-1", "BTG", opened.grant + 1_000_000), "a review ends it"
        assert await kim.list_grants(1, "", unreviewed=True) == []
    async with start() as node:
        (grant,) = await as_(node, "kim").list_grants(1, "", unreviewed=False)
        assert (grant.reviewer, grant.verdict, grant.remark) == ("kim", "justified", "a clear case")
        assert grant.until <= grant.reviewed


async def test_a_read_through_the_broken_glass_names_the_grant(start, as_, clinic) -> None:
    async with start() as node:
        await prepare(node, as_, clinic)
        run = PlainRun(subject="p-1", count=1, batch=encode_batch([b"a note"]))
        await node.service.append(INTERNAL, 1, [PlainAppend(stream="notes", runs=(run,))])
        lee = as_(node, "lee", purpose="BTG")
        with pytest.raises(AccessDenied, match="rule 'emergency' would with the glass broken for it"):
            await lee.read(1, "notes", 0, max_events=10)
        opened = await lee.break_glass(1, "", "", "fire", 0)
        assert (await lee.read(1, "notes", 0, max_events=10)).next_offset == 1
        (read,) = [entry for entry in await entries(node, 1, REGION) if entry.kind is Kind.READ]
        assert (read.actor, read.rule, read.grant) == ("lee", "emergency", opened.grant)
        await as_(node, "kim").review_grant(1, "", opened.grant, "justified", "")
        with pytest.raises(AccessDenied, match="the glass broken for it"):
            await lee.read(1, "notes", 0, max_events=10)


async def test_without_a_policy_there_is_no_glass(start, as_) -> None:
    async with start() as node:
        with pytest.raises(NotAvailable, match="has no policy: there is no glass to break"):
            await as_(node, "lee").break_glass(1, "", "p-1", "unconscious", 0)


async def test_who_may_break_the_glass_and_how(start, as_, clinic) -> None:
    async with start() as node:
        await prepare(node, as_, clinic)
        with pytest.raises(AccessDenied, match="breakGlass is for one of the roles clinician; found officer"):
            await as_(node, "kim").break_glass(1, "", "p-1", "unconscious", 0)
        with pytest.raises(AccessDenied, match="development mode never reaches PHI"):
            await as_(node, "lee", development=True).break_glass(1, "", "p-1", "unconscious", 0)
        lee = as_(node, "lee")
        with pytest.raises(InvalidArgument, match="a reason is needed; found none"):
            await lee.break_glass(1, "", "p-1", "  ", 0)
        with pytest.raises(InvalidArgument, match="at most 3600 s; found 3601"):
            await lee.break_glass(1, "", "p-1", "unconscious", 3601)
        with pytest.raises(UnknownTenant, match="tenant 2 has no stream"):
            await lee.break_glass(2, "", "p-1", "unconscious", 0)
        with pytest.raises(InvalidArgument, match="expected a region, found 'global'"):
            await lee.break_glass(1, "global", "p-1", "unconscious", 0)
        everybody = await lee.break_glass(1, "", "", "fire", 0)
        assert everybody.until == everybody.grant + 3600_000_000
        assert may(node, "lee", Action.READ, "p-7", "ETREAT", everybody.grant)


async def test_who_reviews(start, as_, clinic) -> None:
    text = clinic.replace('reviewers = ["officer"]', 'reviewers = ["officer", "clinician"]')
    async with start() as node:
        await prepare(node, as_, text)
        opened = await as_(node, "lee").break_glass(1, "", "p-1", "unconscious", 0)
        with pytest.raises(AccessDenied, match="by somebody else than who broke the glass"):
            await as_(node, "lee").review_grant(1, "", opened.grant, "justified", "")
        with pytest.raises(AccessDenied, match="for one of the roles officer, clinician; found researcher"):
            await as_(node, "ana").review_grant(1, "", opened.grant, "justified", "")
        with pytest.raises(InvalidArgument, match="a verdict is one of justified, unjustified; found 'fine'"):
            await as_(node, "may").review_grant(1, "", opened.grant, "fine", "")
        with pytest.raises(AccessDenied, match="no rule allows 'audit'"):
            await as_(node, "ana").list_grants(1, "", unreviewed=True)
        first = await as_(node, "may").review_grant(1, "", opened.grant, "unjustified", "")
        assert await as_(node, "may").review_grant(1, "", opened.grant, "unjustified", "") == first
        with pytest.raises(InvalidArgument, match="was reviewed already"):
            await as_(node, "may").review_grant(1, "", opened.grant, "justified", "")
        with pytest.raises(InvalidArgument, match="was reviewed already"):
            await as_(node, "kim").review_grant(1, "", opened.grant, "justified", "")


# Consents ------------------------------------------------------------------------------------------------------


async def test_a_consent_lets_a_rule_allow_until_it_ends(start, as_, clinic) -> None:
    async with start() as node:
        await prepare(node, as_, clinic)
        kim = as_(node, "kim")
        ends = node.groups[REGION].time_us + 3600_000_000
        assert not may(node, "ana", Action.READ, "p-1", "HRESCH", 0)
        await kim.put_consent(1, "", "p-1", ("HRESCH", "HQUALIMP"), ends, withdraw=False)
        assert may(node, "ana", Action.READ, "p-1", "HRESCH", ends - 1)
        assert not may(node, "ana", Action.READ, "p-1", "HRESCH", ends)
        assert not may(node, "ana", Action.READ, "p-2", "HRESCH", 0)
        await kim.put_consent(1, "", "p-1", ("HRESCH",), 0, withdraw=True)
        assert not may(node, "ana", Action.READ, "p-1", "HRESCH", 0)
        await kim.put_consent(1, "", "p-2", ("TREAT",), 0, withdraw=False)
        found = await kim.list_consents(1, "", "")
        assert [(one.subject, one.purposes, one.until) for one in found] == [
            ("p-1", ("HQUALIMP",), ends),
            ("p-2", ("TREAT",), 0),
        ]
        assert [one.subject for one in await kim.list_consents(1, "", "p-2")] == ["p-2"]
        assert await kim.list_consents(1, "", "p-3") == []
        assert await kim.list_consents(7, "", "p-3") == []


async def test_what_a_consent_must_say(start, as_, clinic) -> None:
    async with start() as node:
        await prepare(node, as_, clinic)
        kim = as_(node, "kim")
        with pytest.raises(InvalidArgument, match="expected a subject, found none"):
            await kim.put_consent(1, "", "", ("TREAT",), 0, withdraw=False)
        with pytest.raises(InvalidArgument, match=r"a purpose is one of TREAT, .*; found 'FUN'"):
            await kim.put_consent(1, "", "p-1", ("FUN",), 0, withdraw=False)
        with pytest.raises(InvalidArgument, match="ends in the time to come"):
            await kim.put_consent(1, "", "p-1", ("TREAT",), 7, withdraw=False)
        with pytest.raises(AccessDenied, match="no rule allows 'policy'"):
            await as_(node, "lee").put_consent(1, "", "p-1", ("TREAT",), 0, withdraw=False)


# Attestations --------------------------------------------------------------------------------------------------


async def test_an_expert_attests(start, as_, clinic) -> None:
    async with start() as node:
        await prepare(node, as_, clinic)
        await node.service.create_stream(INTERNAL, 1, "cohort", DataClass.DEIDENTIFIED, REGION)
        kim = as_(node, "kim")
        reader = node.service.readers[REGION]
        assert not is_attested(reader, 1, "cohort")
        await kim.attest(1, "cohort", "Dr. Expert", "very small risk", bytes(32))
        assert is_attested(reader, 1, "cohort")
        with pytest.raises(InvalidArgument, match="found stream 'notes' of class phi"):
            await as_(node, "kim").attest(1, "notes", "Dr. Expert", "very small risk", b"")
        with pytest.raises(UnknownStream, match="no stream 'nowhere'"):
            await kim.attest(1, "nowhere", "Dr. Expert", "very small risk", b"")
        with pytest.raises(InvalidArgument, match="its SHA-256, 32 bytes; found 3"):
            await kim.attest(1, "cohort", "Dr. Expert", "very small risk", b"abc")


# What the audit log says ---------------------------------------------------------------------------------------


async def entries(node: Any, tenant: int, group: str) -> list[Any]:
    page = await node.service.audit.records(tenant, group, 0, 100, search=AuditSearch(), sealed=False)
    return [entry for record in page.records for entry in record.decoded()]


async def test_each_act_is_in_the_audit_log(start, as_, clinic) -> None:
    async with start() as node:
        await prepare(node, as_, clinic)
        opened = await as_(node, "lee").break_glass(1, "", "p-1", "unconscious", 0)
        await as_(node, "kim").list_grants(1, "", unreviewed=True)
        with pytest.raises(AccessDenied):
            await as_(node, "lee").review_grant(1, "", opened.grant, "justified", "")
        await as_(node, "kim").review_grant(1, "", opened.grant, "justified", "")
        await as_(node, "kim").put_consent(1, "", "p-1", ("TREAT",), 0, withdraw=False)
        await as_(node, "kim").list_consents(1, "", "")
        found = [
            (entry.kind, entry.actor, entry.outcome, entry.subjects, entry.grant)
            for entry in await entries(node, 1, REGION)
            if entry.actor != "node"
        ]
        assert found == [
            (Kind.BREAK_GLASS, "lee", Outcome.OK, ("p-1",), opened.grant),
            (Kind.REVIEW, "kim", Outcome.OK, ("p-1",), 0),
            (Kind.DENY, "lee", Outcome.DENIED, ("p-1",), 0),
            (Kind.REVIEW, "kim", Outcome.OK, ("p-1",), opened.grant),
            (Kind.CONSENT, "kim", Outcome.OK, ("p-1",), 0),
            (Kind.CONSENT, "kim", Outcome.OK, ("p-1",), 0),
        ]
        (applied,) = await entries(node, 0, GLOBAL_GROUP)
        assert (applied.kind, applied.actor, applied.detail["serial"]) == (Kind.POLICY, "kim", "1")
        (carried,) = await entries(node, 0, REGION)
        assert (carried.kind, carried.actor, carried.credential) == (Kind.POLICY, "kim", "node")
        assert carried.detail["version"] == applied.detail["version"]
