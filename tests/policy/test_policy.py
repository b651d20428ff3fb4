"""What policies decide, and what a file that is wrong is told."""

from __future__ import annotations

import re

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import ConfigError
from vdb.policy.cases import run_cases, unused_rules
from vdb.policy.decide import DEFAULT, ON_BEHALF, AccessRequest, Consent, Decision, Grant, Principal, decide
from vdb.policy.file import canonical, parse_policy
from vdb.policy.words import Action, Mask
from vdb.types import DataClass

LEE = "spiffe://clinic.example/provider/lee"
POLICY = """
name = "clinic"

[roles]
clinician = []
analyst = []
admin = ["clinician"]

[[binding]]
principals = ["spiffe://clinic.example/provider/*"]
roles = ["clinician"]
tenants = [1]

[[binding]]
principals = ["ada"]
roles = ["admin"]

[[binding]]
principals = ["spiffe://clinic.example/service/reports"]
roles = ["analyst"]

[[rule]]
name = "no-psychotherapy"
effect = "deny"
actions = ["read", "query"]
streams = ["psychotherapy*"]

[[rule]]
name = "no-one-reads-keys"
effect = "deny"
actions = ["query"]
columns = ["secret"]

[[rule]]
name = "own-patients"
roles = ["clinician"]
actions = ["read", "query", "append"]
classes = ["phi"]
purposes = ["TREAT"]
streams = ["patients", "note*"]
rows = "provider = :principal"
masks = { ssn = "last-four" }

[[rule]]
name = "emergency"
effect = "break-glass"
roles = ["clinician"]
actions = ["read", "query"]
classes = ["phi"]

[[rule]]
name = "reports"
roles = ["analyst"]
actions = ["query"]
tables = ["visits"]
columns = ["ward", "day"]
purposes = ["HOPERAT"]
mfa = true

[[rule]]
name = "research"
roles = ["analyst"]
actions = ["read"]
purposes = ["HRESCH"]
consent = true

[break-glass]
roles = ["clinician"]
minutes = 60
reviewers = ["admin"]

[[case]]
name = "a clinician reads for treatment"
principal = "spiffe://clinic.example/provider/lee"
action = "read"
class = "phi"
stream = "notes"
purpose = "TREAT"
allowed = true
rule = "own-patients"

[[case]]
name = "nobody reads psychotherapy notes"
principal = "ada"
action = "read"
class = "phi"
stream = "psychotherapy-notes"
purpose = "TREAT"
allowed = false
rule = "no-psychotherapy"

[[case]]
name = "the glass"
principal = "spiffe://clinic.example/provider/lee"
action = "read"
class = "phi"
stream = "vitals"
purpose = "BTG"
broke-glass = true
allowed = true
rule = "emergency"
"""
CLINIC, CASES = parse_policy(POLICY)


def ask(principal: str = LEE, action: Action = Action.READ, **fields: object) -> AccessRequest:
    defaults: dict[str, object] = {"tenant": 1, "data_class": DataClass.PHI, "stream": "notes", "purpose": "TREAT"}
    mfa = bool(fields.pop("mfa", False))
    return AccessRequest(principal=Principal(name=principal, mfa=mfa), action=action, **{**defaults, **fields})  # type: ignore[arg-type]


def deny(request: AccessRequest, reason: str, **also: object) -> Decision:
    decision = decide(CLINIC, request, **also)  # type: ignore[arg-type]
    assert not decision.allowed
    assert re.search(reason, decision.reason), decision.reason
    return decision


def allow(request: AccessRequest, rule: str, **also: object) -> Decision:
    decision = decide(CLINIC, request, **also)  # type: ignore[arg-type]
    assert decision.allowed, decision.reason
    assert (decision.rule, decision.version) == (rule, CLINIC.version)
    return decision


def test_what_no_rule_allows_is_denied() -> None:
    decision = deny(ask("stranger"), "no rule allows 'read' of phi data in tenant 1 for TREAT with these roles: none")
    assert decision.rule == DEFAULT
    deny(ask(tenant=2), "roles: none")
    deny(ask(action=Action.ERASE), "roles: clinician")
    deny(ask(purpose=""), "without a purpose")
    deny(ask(stream="vitals"), "no rule allows")
    deny(ask(data_class=DataClass.NON_PHI), "no rule allows 'read' of non-phi data")


def test_a_role_has_the_rules_of_those_that_it_includes() -> None:
    assert CLINIC.roles_of("ada", 9) == {"admin", "clinician"}
    allow(ask("ada", tenant=9), "own-patients")


def test_a_rule_that_denies_wins() -> None:
    assert deny(ask(stream="psychotherapy-1"), "rule 'no-psychotherapy' denies").rule == "no-psychotherapy"
    deny(ask("stranger", Action.QUERY, columns=("visits.secret",)), "no-one-reads-keys")


def test_rows_and_masks_come_with_the_decision() -> None:
    decision = allow(ask(action=Action.QUERY, columns=("name", "ssn")), "own-patients")
    assert (decision.rows, decision.masks) == ("provider = :principal", {"ssn": Mask.LAST_FOUR})


def test_a_rule_covers_all_tables_and_columns_or_none() -> None:
    reports = "spiffe://clinic.example/service/reports"
    request = ask(
        reports, Action.QUERY, stream="census", tables=("visits",), columns=("visits.ward",), purpose="HOPERAT"
    )
    deny(request, "rule 'reports' would with a second factor")
    request = evolve(request, principal=Principal(name=reports, mfa=True))
    allow(request, "reports")
    deny(evolve(request, columns=("visits.ward", "visits.name")), "no rule allows")
    deny(evolve(request, tables=("visits", "patients")), "no rule allows")
    deny(evolve(request, tables=()), "no rule allows")


def test_the_glass_is_broken_for_a_person_and_a_time() -> None:
    request = ask(stream="vitals", purpose="BTG", subject="patient-7", time=1_000)
    deny(request, "rule 'emergency' would with the glass broken for it")
    grant = Grant(principal=LEE, tenant=1, subject="patient-7", until=2_000)
    assert allow(request, "emergency", grants=[grant]).broke_glass
    deny(evolve(request, purpose="TREAT"), "a purpose of BTG or ETREAT", grants=[grant])
    deny(evolve(request, time=2_000), "the glass broken", grants=[grant])
    deny(evolve(request, subject="patient-8"), "the glass broken", grants=[grant])
    deny(request, "the glass broken", grants=[evolve(grant, principal="ada")])
    deny(request, "the glass broken", grants=[evolve(grant, tenant=2)])


def test_consent_is_of_a_subject_to_a_purpose() -> None:
    reports = "spiffe://clinic.example/service/reports"
    request = ask(reports, purpose="HRESCH", subject="patient-7", time=1_000)
    deny(request, "rule 'research' would with the subject's consent")
    consent = Consent(tenant=1, subject="patient-7", purposes=("HRESCH",))
    allow(request, "research", consents=[consent])
    deny(request, "consent", consents=[evolve(consent, purposes=("HMARKT",))])
    deny(request, "consent", consents=[evolve(consent, until=1_000)])
    deny(request, "consent", consents=[evolve(consent, tenant=2)])
    deny(evolve(request, subject=""), "consent", consents=[evolve(consent, subject="")])


def test_development_credentials_never_reach_phi() -> None:
    request = evolve(ask(), principal=Principal(name=LEE, development=True))
    deny(request, "development mode never reaches PHI")


def test_no_reason_names_a_subject_or_a_stream() -> None:
    decision = deny(ask(stream="patient-ada-lovelace", subject="ada-lovelace"), "no rule allows")
    assert "lovelace" not in decision.reason


@given(
    st.sampled_from(list(Action)),
    st.sampled_from(list(DataClass)),
    st.sampled_from(["", "TREAT", "BTG", "HOPERAT"]),
    st.sampled_from(["ada", LEE, "stranger"]),
    st.sampled_from(["notes", "psychotherapy", "x"]),
)
def test_fewer_rules_that_allow_never_allow_more(
    action: Action, data_class: DataClass, purpose: str, principal: str, stream: str
) -> None:
    request = ask(principal, action, data_class=data_class, purpose=purpose, stream=stream)
    whole = decide(CLINIC, request)
    for rule in CLINIC.rules:
        fewer = evolve(CLINIC, rules=tuple(one for one in CLINIC.rules if one != rule))
        if rule.effect.value != "deny" and decide(fewer, request).allowed:
            assert whole.allowed
        if rule.effect.value == "deny" and whole.allowed:
            assert decide(fewer, request).allowed


# Files


def test_the_cases_of_a_file() -> None:
    results = run_cases(CLINIC, CASES)
    assert [result.failure for result in results] == ["", "", ""]
    assert unused_rules(CLINIC, results) == ["no-one-reads-keys", "reports", "research"]
    wrong = [evolve(case, allowed=not case.allowed) for case in CASES]
    assert [bool(result.failure) for result in run_cases(CLINIC, wrong)] == [True] * 3
    (other,) = run_cases(CLINIC, [evolve(CASES[0], rule="emergency")])
    assert other.failure == "expected the rule 'emergency' to decide, found 'own-patients'"


def test_the_version_is_that_of_what_counts() -> None:
    again, _ = parse_policy("# a remark\n" + POLICY.split("[[case]]")[0])
    assert again.version == CLINIC.version
    assert re.fullmatch("sha256:[0-9a-f]{64}", CLINIC.version)
    other, _ = parse_policy(POLICY.replace("minutes = 60", "minutes = 61"))
    assert other.version != CLINIC.version
    assert b"version" not in canonical(CLINIC)


@pytest.mark.parametrize(
    ("find", "put", "says"),
    [
        ('name = "clinic"', 'name = "Clinic"', "a policy: expected at most 63 of a-z"),
        ("[roles]", "[role]", "unknown field `role`"),
        ('effect = "deny"', 'effect = "forbid"', "Invalid enum value 'forbid'"),
        (
            'roles = ["analyst"]\nactions = ["query"]',
            'roles = ["analysts"]\nactions = ["query"]',
            "the policy doesn't have",
        ),
        ('roles = ["analyst"]\nactions = ["query"]', 'actions = ["query"]', "allows something to everybody"),
        ('streams = ["patients", "note*"]', 'streams = ["*notes"]', "expected a text, or PREFIX"),
        ('purposes = ["HRESCH"]', 'purposes = ["FUN"]', "'FUN' is no purpose"),
        ('columns = ["secret"]', 'columns = ["secret"]\nmfa = true', "denies: expected no rows, masks"),
        (
            'columns = ["ward", "day"]',
            'columns = ["ward"]\nmasks = { ward = "hide" }',
            "both allows a column and masks",
        ),
        ("minutes = 60", "minutes = 241", "1 to 240 minutes; found 241"),
        ('reviewers = ["admin"]', "", "roles but no reviewers"),
        ('name = "research"', 'name = "reports"', "the rule 'reports' stands twice"),
        ('name = "clinic"', "name = ", "isn't TOML"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(find: str, put: str, says: str) -> None:
    assert find in POLICY
    with pytest.raises(ConfigError, match=says):
        parse_policy(POLICY.replace(find, put, 1))


def test_who_names_others_is_one_whom_the_policy_lets() -> None:
    usual, _ = parse_policy(POLICY)
    lists_ada, _ = parse_policy(POLICY + '[on-behalf]\nprincipals = ["ad*"]\n')
    by_role, _ = parse_policy(POLICY + '[on-behalf]\nroles = ["admin"]\n')
    has_services, _ = parse_policy(POLICY.replace("admin = [", 'service = ["clinician"]\nadmin = ["service", '))
    nobody, _ = parse_policy(POLICY + "[on-behalf]\n")
    for policy, may in ((usual, False), (lists_ada, True), (by_role, True), (has_services, True), (nobody, False)):
        assert policy.may_name_others("ada", 1) is may
        assert not policy.may_name_others(LEE, 1)
        asked = ask("ada", mfa=True, on_behalf_of="dr.kim")
        assert (decide(policy, asked).rule == ON_BEHALF) is not may
        assert decide(policy, evolve(asked, on_behalf_of="")).rule != ON_BEHALF
    with pytest.raises(ConfigError, match="on-behalf '' names the role 'portal'"):
        parse_policy(POLICY + '[on-behalf]\nroles = ["portal"]\n')


def test_a_policy_that_says_nothing_of_others_has_its_version() -> None:
    policy, _ = parse_policy(POLICY)
    assert b"on_behalf" not in canonical(policy)
    assert b"on_behalf" in canonical(parse_policy(POLICY + "[on-behalf]\n")[0])
