"""Compliance reports: what is met is shown, what is missing is named, and nothing is promised."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import pytest
from attrs import evolve

from vdb.audit.compiling import compile_report
from vdb.audit.entry import AuditEntry, Kind, Outcome, encode_entry
from vdb.audit.printing import report_lines
from vdb.audit.questions import Tally
from vdb.audit.report import (
    ErasureFacts,
    Facts,
    GrantFacts,
    KeyFacts,
    NodeFacts,
    PolicyFacts,
    Report,
    Requirement,
    Row,
    ScanFacts,
    Status,
    TreeFacts,
)
from vdb.verifier.canonical import canonical_json

NOW = 1_795_330_440_123_000
DAY = 86_400_000_000

TREE = TreeFacts(
    origin="veritydb/8a/us-east-1/t-1/audit",
    size=3,
    root="ab" * 32,
    signed_by="veritydb/8a/us-east-1/t-1/audit+1a2b3c4d",
    leaves_checked=3,
    witnesses=("clinic-b at 2026-11-22",),
    pinned="2 records",
)

POLICY = PolicyFacts(serial=3, version="sha256:cd", applied_at=NOW - DAY, applied_by="admin")
GRANTS = GrantFacts(count=1, unreviewed=0, longest_seconds=3600)
KEYS = KeyFacts(provider="aws-kms", root_key_id="ff", tenants=1, behind=0, keys=12)
ERASURES = ErasureFacts(count=1, pending=0)

SCAN = ScanFacts(records=5, regions=(("phi", "us-east-1", 5),), astray=0)
NODE = NodeFacts(name="node-1", region="us-east-1", version="0.1.0", groups=("us-east-1",), scrubbed_at=NOW - DAY)

GOOD = Facts(
    now=NOW,
    since=NOW - 90 * DAY,
    until=NOW,
    tenant=1,
    group="us-east-1",
    asked_by="spiffe://clinic.example/officer.kim",
    secured=True,
    audit=TREE,
    data=evolve(TREE, origin="veritydb/8a/us-east-1/t-1/data"),
    policy=POLICY,
    grants=GRANTS,
    keys=KEYS,
    erasures=ERASURES,
    scan=SCAN,
    holds=1,
    retention_rules=2,
    nodes=(NODE,),
    settings={"identity.idle-minutes": "15.0", "identity.session-hours": "12.0", "identity.receipts": "true"},
)


def entry(kind: Kind = Kind.READ, **more: Any) -> AuditEntry:
    said = {"actor": "dr.lee", "credential": "mtls", "purpose": "TREAT", "rule": "physicians", "data_class": "phi"}
    return AuditEntry(**{**said, "kind": kind, "action": "read", "time": NOW - DAY, "subjects": ("Patient/1",), **more})


USUAL = (entry(), entry(Kind.WRITE), entry(Kind.REVIEW), entry(Kind.AUDIT))


def made(facts: Facts = GOOD, entries: Sequence[AuditEntry] = USUAL) -> Report:
    tally = Tally(facts.since, facts.until)
    for leaf, one in enumerate(entries):
        tally.add(leaf, encode_entry(one), one)
    return compile_report(facts, tally)


def row(report: Report, control: str) -> Row:
    (found,) = (one for one in report.rows if one.control == control)
    return found


def test_what_is_as_it_should_be_is_met_and_what_a_database_can_not_do_is_left_to_people() -> None:
    report = made()
    partial = [one.control for one in report.rows if one.status is Status.PARTIAL]
    assert partial == ["proposed: attempts, zones", "proposed: monitoring", "21 CFR 11.10, 11.50"]
    yours = [one.control for one in report.rows if one.status is Status.OPERATOR]
    proposed = [f"proposed: {name}" for name in ("scans, patches", "backups", "inventory", "notice")]
    assert yours == ["164.308(a)(7)", "164.402", *proposed]


@pytest.mark.parametrize(
    ("change", "control", "missing"),
    [
        ({"policy": None}, "164.312(a)(1)", "the policy couldn't be asked for"),
        ({"policy": evolve(POLICY, serial=0)}, "164.312(a)(1)", "no policy was applied: everything is allowed"),
        ({"grants": evolve(GRANTS, unreviewed=2)}, "164.312(a)(2)(ii)", "that wait for a review: 2"),
        ({"grants": None}, "164.312(a)(2)(ii)", "couldn't be asked for"),
        ({"settings": None}, "164.312(a)(2)(iii)", "wasn't shown to the report"),
        ({"settings": {"identity.idle-minutes": "0.0"}}, "164.312(a)(2)(iii)", "idle-minutes is 0"),
        ({"settings": {"identity.receipts": "false"}}, "164.312(b)", "receipts are turned off"),
        ({"keys": None}, "164.312(a)(2)(iv)", "couldn't be asked for"),
        ({"keys": evolve(KEYS, behind=4)}, "164.312(a)(2)(iv)", "still under an older root key: 4"),
        ({"audit": evolve(TREE, witnesses=())}, "164.312(b)", "no witness has cosigned the tree"),
        ({"audit": evolve(TREE, gaps=1)}, "164.312(b)", "missing in the count: 1"),
        ({"data": None}, "164.312(c)(1)", "couldn't be asked for"),
        ({"data": evolve(TREE, pinned="")}, "164.312(c)(1)", "no earlier head was at hand"),
        ({"nodes": (evolve(NODE, scrubbed_at=NOW - 31 * DAY),)}, "164.312(c)(1)", "is older than 30 days"),
        ({"nodes": (evolve(NODE, scrubbed_at=0),)}, "164.312(c)(1)", "no scrub of node-1 has read all of its disk yet"),
        (
            {"nodes": (evolve(NODE, region="eu-west-1"),)},
            "GDPR chapter V",
            "outside of the region that hold its group: 1",
        ),
        ({"nodes": ()}, "GDPR chapter V", "no node that holds the group has answered"),
        ({"audit": evolve(TREE, leaves_checked=2)}, "164.312(c)(2)", "not all records"),
        ({"scan": None}, "164.312(a)(2)(iv)", "own headers couldn't be read"),
        (
            {"scan": evolve(SCAN, astray=2)},
            "GDPR chapter V",
            "lie where they mustn't (vdb placement",
        ),
        ({"secured": False}, "164.312(e)(1)", "without TLS"),
        ({"erasures": evolve(ERASURES, pending=1)}, "164.310(d)(2)(i)", "not finished on all nodes: 1"),
        ({"erasures": None}, "164.310(d)(2)(i)", "couldn't be asked for"),
        ({"retention_rules": None}, "164.316(b)(2)(i)", "couldn't be asked for"),
    ],
)
def test_what_is_missing_in_the_facts_is_named(change: dict[str, Any], control: str, missing: str) -> None:
    found = row(made(evolve(GOOD, **change)), control)
    assert found.status is Status.PARTIAL
    assert missing in " ".join(found.missing)


@pytest.mark.parametrize(
    ("bad", "control", "missing"),
    [
        (entry(rule="no-policy"), "164.312(a)(1)", "that no policy decided: 1"),
        (entry(actor=""), "164.312(a)(2)(i)", "entries that name nobody: 1"),
        (entry(credential="development"), "164.312(a)(2)(i)", "development credential, which proves nothing: 1"),
        (entry(credential="embedded"), "164.312(d)", "its hold of the keys: 1"),
        (entry(credential="oidc"), "164.312(d)", "without a second factor: 1"),
        (entry(credential="oidc"), "proposed: MFA", "without one: 1"),
        (entry(Kind.EXPORT), "164.528", "without a recipient or a description: 1"),
        (entry(subjects=("*",)), "(EU) 2025/327", "name no patient, so that each patient's list has them: 1"),
    ],
)
def test_what_the_log_says_against_it_is_named(bad: AuditEntry, control: str, missing: str) -> None:
    assert row(made(), control).status is Status.MET
    found = row(made(entries=[*USUAL, bad]), control)
    assert found.status is Status.PARTIAL
    assert missing in " ".join(found.missing)


def test_the_log_that_tells_what_is_about_no_tenant_counts_as_well() -> None:
    tally = Tally(GOOD.since, GOOD.until)
    tally.system = Tally(GOOD.since, GOOD.until)
    for leaf, one in enumerate(USUAL):
        tally.add(leaf, encode_entry(one), one)
    change = entry(Kind.POLICY, actor="dr.lee", data_class="")
    tally.system.add(4, encode_entry(change), change)
    report = compile_report(GOOD, tally)
    (found,) = (one for one in row(report, "164.312(a)(1)").evidence if "system's log" in one.what)
    assert (found.count, found.records) == (1, "system 4-4")
    apart = row(report, "proposed: apart")
    assert (apart.status, apart.evidence[0].value) == (Status.PARTIAL, "dr.lee 2")


def test_who_comes_from_two_machines_at_a_time_is_named() -> None:
    def coming(*seconds_and_clients: tuple[int, str]) -> tuple[AuditEntry, ...]:
        return tuple(entry(time=NOW - DAY + 1_000_000 * s, client=client) for s, client in seconds_and_clients)

    alone = coming((0, "10.0.0.7:4711"), (1, "10.0.0.7:4712 intake"), (99, "10.0.0.8:1"), (100, "a program"))
    assert row(made(entries=[*USUAL, *alone]), "164.312(a)(2)(i)").status is Status.MET
    shared = coming((0, "10.0.0.7:4711"), (59, "10.0.0.8:4711"), (70, "10.0.0.7:4711 intake"))
    found = row(made(entries=[*USUAL, *shared]), "164.312(a)(2)(i)")
    assert "principals that two machines used within a minute, as with shared logins: 1" in found.missing
    (told,) = (one for one in found.evidence if "two machines" in one.what)
    assert told.value == "dr.lee 2"


def test_what_auditors_ask_for_stands_in_its_row() -> None:
    rules = evolve(POLICY, rules=(("physicians", "allow role physician: read; of phi"),))
    grants = evolve(
        GRANTS, sessions=("2026-11-01 by dr.lee for 60 minutes; about Patient/1: asleep; not reviewed yet",)
    )
    prune = entry(Kind.RETENTION, outcome=Outcome.REFUSED, code="ON_HOLD")
    report = made(evolve(GOOD, policy=rules, grants=grants), [*USUAL, prune])

    def told(control: str) -> dict[str, str]:
        return {one.what: f"{one.count}: {one.value}" for one in row(report, control).evidence}

    assert told("164.312(a)(1)")["now holds: rule physicians"] == "None: allow role physician: read; of phi"
    assert "asleep" in told("164.312(a)(2)(ii)")["broken in the period"]
    assert told("164.312(b)")["of these kinds"] == "None: audit 1, read 1, retention 1, review 1, write 1"
    assert told("164.312(b)")["by whom"] == "1: dr.lee 1"
    assert told("164.312(a)(2)(iv)")["of class phi, sealed for us-east-1"] == "5: "
    assert told("164.316(b)(2)(i)")["of these refused: a hold, or too early"] == "1: "
    assert told("164.316(b)(2)(i)")["days since the oldest entry of the audit log"].startswith("1: 2026-")
    json = report.as_json()
    assert json["days"] == {"2026-11-21": {"audit": 1, "read": 1, "retention": 1, "review": 1, "write": 1}}
    assert json["queries"]["denials"] == "kind deny"
    (first,) = (one for one in json["rows"] if one["control"] == "164.312(a)(1)")
    assert first["citation"] == "45 CFR 164.312(a)(1)"
    assert first["settings_digest"] == sha256(canonical_json(first["settings"])).hexdigest()


def test_samples_are_drawn_by_the_root_and_everybody_can_draw_them_again() -> None:
    accesses = [entry(time=NOW - DAY + number, object=f"o{number}") for number in range(100)]

    def drawn(root: bytes) -> list[int]:
        tally = Tally(GOOD.since, GOOD.until, root)
        for leaf, one in enumerate([*accesses, entry(Kind.DENY)]):
            tally.add(leaf, encode_entry(one), one)
        return [sample.record for sample in tally.samples()]

    for root in (b"a", b"b"):
        order = sorted(range(100), key=lambda number: sha256(root + encode_entry(accesses[number])).digest())
        assert drawn(root) == sorted(order[:25])
    assert drawn(b"a") != drawn(b"b")


def test_where_nothing_happened_nothing_is_shown_to_work() -> None:
    report = made(entries=())
    for control in ("164.312(a)(1)", "164.312(a)(2)(i)", "164.312(d)"):
        assert "nobody has reached PHI in the period" in " ".join(row(report, control).missing)
    assert "nobody has examined the log" in " ".join(row(report, "164.312(b)").missing)
    assert "no review was recorded" in " ".join(row(report, "164.308(a)(1)(ii)(D)").missing)


def test_evidence_can_be_found_again() -> None:
    denials = [entry(Kind.DENY, outcome=Outcome.DENIED, rule=f"r{number % 2}") for number in range(3)]
    report = made(entries=[*USUAL, *denials, entry(Kind.DENY, time=NOW - 100 * DAY), entry(Kind.DENY, time=NOW)])
    (found,) = (one for one in row(report, "164.312(a)(1)").evidence if one.what == "denials")
    expected = sha256(b"".join(encode_entry(one) + b"\n" for one in denials)).hexdigest()
    assert (found.count, found.records, found.digest) == (3, "4-6", expected)
    by_rule = [(one.what, one.count) for one in row(report, "164.312(a)(1)").evidence if "of them by" in one.what]
    assert by_rule == [("of them by rule r0", 2), ("of them by rule r1", 1)]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_it_reads_well_and_says_of_nobody_that_they_comply(width: int) -> None:
    lines = list(report_lines(made(evolve(GOOD, secured=False, notes=("x: refused",))), width))
    text = "\n".join(lines)
    assert "complian" not in text.lower().replace("compliance report", "")
    assert max(map(len, lines[:-1])) <= width
    assert text.index("What is missing") < text.index("== 45 CFR 164.312")
    assert "only proposed" in text
    assert "not asked x: refused" in text
    assert "== 2 accesses of PHI, each with its record" in text
    assert "dr.lee (mtls): read for TREAT; allowed by physicians" in " ".join(text.split())
    for one in made().rows:
        assert one.control in text


def test_its_digest_is_that_of_all_it_says() -> None:
    assert made().digest == made().digest
    assert made(evolve(GOOD, holds=2)).digest != made().digest
    told = made().as_json()
    assert told["totals"] == {"met": 21, "partial": 3, "operator": 6}
    assert all(one["requirement"] == "proposed" for one in told["rows"] if "proposed" in one["control"])
    assert {one.requirement for one in made().rows} == set(Requirement)
