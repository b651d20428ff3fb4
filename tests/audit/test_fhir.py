"""Entries as AuditEvents: the exact events that are expected, and what FHIR's own model says of them."""

from __future__ import annotations

import json
import runpy
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from hypothesis import given as for_all
from hypothesis import strategies as st

from vdb.audit.entry import AuditEntry, Kind, Outcome
from vdb.audit.fhir import Place, audit_events

check_event = runpy.run_path(str(Path(__file__).with_name("balp.py")))["check_event"]

PLACE = Place(region="eu-1", organization="Clinic A", address="https://db.clinic.example:5433")
TIME = 1_795_330_440_123_000


def entry(kind: Kind, **more: Any) -> AuditEntry:
    said: dict[str, Any] = {
        "kind": kind,
        "action": "read",
        "time": TIME,
        "actor": "spiffe://clinic.example/dr.lee",
        "client": "10.0.0.7",
        "purpose": "TREAT",
        "policy": "17",
        "node": "verity-node-1.eu-1",
        "subjects": ("Patient/p-1",),
        "object": "Observation/o-9/_history/3",
        "request": "req-7f",
        "detail": {"application": "app:intake", "role": "physician"},
    }
    detail = {**said["detail"], **more.pop("detail", {})}
    return AuditEntry(**{**said, **more, "detail": detail})


ENTRIES = {
    "create": entry(Kind.CREATE),
    "read": entry(Kind.READ),
    "update": entry(Kind.WRITE),
    "query": entry(Kind.QUERY, statement="SELECT obs WHERE patient=?1", object=""),
    "export": entry(
        Kind.EXPORT,
        object="",
        request="",
        digest="ab12",
        detail={
            "recipient": "State Health Dept",
            "recipient-address": "1 Main St",
            "recipient-endpoint": "sftp://doh.example",
            "description": "immunizations 2020-2026",
            "disclosure-purpose": "PATRQT",
        },
    ),
    "policy-deny": entry(
        Kind.DENY,
        object="",
        request="",
        outcome=Outcome.DENIED,
        rule="residency-eu-only",
        detail={"why": "resource region=eu-1, caller region=us-1", "policy": "residency@v17"},
    ),
    "break-glass": entry(Kind.READ, grant=4),
}
"""By the names that a file of expected events has for them."""


def only(given: AuditEntry) -> dict[str, Any]:
    (event,) = audit_events(given, "0190-0001", PLACE)
    return event


@pytest.mark.parametrize("name", ENTRIES)
def test_each_event_is_valid_r4_and_survives_its_model(name: str) -> None:
    event = only(ENTRIES[name])
    check_event(event)
    again = json.loads(AuditEvent.model_validate(event).model_dump_json())
    assert again["agent"] == event["agent"]
    assert again["entity"] == event["entity"]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("outcome", Outcome)
def test_every_kind_has_its_event_with_and_without_what_may_be_missing(kind: Kind, outcome: Outcome) -> None:
    for given in (
        entry(kind, outcome=outcome, on_behalf_of="dr.kim", reason="asked", rule="r", code="C"),
        AuditEntry(kind=kind, action="read", outcome=outcome),
        entry(kind, outcome=outcome, subjects=("*",), first=7, count=3, tables=("visits",), object="clinic"),
    ):
        event = only(given)
        check_event(event)
        assert ("meta" in event) <= (outcome is Outcome.OK)
        assert (
            event["outcome"]
            == {"ok": "0", "refused": "4", "denied": "8"}["denied" if kind is Kind.DENY else outcome.value]
        )


@pytest.mark.parametrize("name", ENTRIES)
def test_the_events_that_others_have_written_down(name: str) -> None:
    assert only(ENTRIES[name]) == json.loads((Path(__file__).parent / "audit_events_r4.json").read_text())[name]


TEXTS = st.sampled_from(("", "dr.lee", "spiffe://clinic.example/dr.lee", "10.0.0.7:99", "[::1]:7", "x y", "Patient/1"))


@for_all(
    st.builds(
        AuditEntry,
        kind=st.sampled_from(Kind),
        action=st.just("read"),
        time=st.integers(0, 4_000_000_000_000_000),
        outcome=st.sampled_from(Outcome),
        actor=TEXTS,
        credential=st.sampled_from(("", "mtls", "node")),
        client=TEXTS,
        on_behalf_of=TEXTS,
        purpose=st.sampled_from(("", "TREAT", "BTG")),
        reason=TEXTS,
        grant=st.integers(0, 1),
        rule=TEXTS,
        policy=TEXTS,
        object=TEXTS,
        tables=st.lists(st.sampled_from(("a", "b")), max_size=2).map(tuple),
        fingerprint=st.sampled_from(("", "ab" * 32)),
        statement=TEXTS,
        subjects=st.lists(st.sampled_from(("Patient/1", "p-2", "token:00", "*", "Mx 3")), max_size=4).map(tuple),
        first=st.none() | st.integers(0, 9),
        count=st.integers(0, 9),
        request=TEXTS,
        node=TEXTS,
        detail=st.dictionaries(
            st.sampled_from(("role", "application", "recipient", "description", "why", "missing", "broke-glass")),
            st.sampled_from(("", "true", "consent", "x")),
        ),
    )
)
def test_whatever_an_entry_says_its_events_follow_the_rules(entry: AuditEntry) -> None:
    for event in audit_events(entry, "0-0", PLACE):
        check_event(event)


def test_a_read_says_who_what_whose_and_why() -> None:
    event = only(ENTRIES["read"])
    assert event["meta"]["profile"] == [
        "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead"
    ]
    assert event["recorded"] == "2026-11-22T06:54:00.123Z"
    client, server, user = event["agent"]
    assert [client["type"]["coding"][0]["code"], server["type"]["coding"][0]["code"]] == ["110152", "110153"]
    assert client["network"] == {"address": "10.0.0.7", "type": "2"}
    assert user["who"] == {"identifier": {"system": "spiffe://clinic.example", "value": "dr.lee"}}
    assert user["purposeOfUse"][0]["coding"][0]["code"] == "TREAT"
    assert event["entity"][0]["what"] == {"reference": "Patient/p-1"}


def test_a_query_is_told_for_each_patient_up_to_the_limit() -> None:
    many = entry(Kind.QUERY, subjects=("Patient/a", "b", "token:00ff", "MRN 7"), statement="SELECT 1", object="")
    events = audit_events(many, "9-0", PLACE)
    assert [event["id"] for event in events] == ["9-0-0", "9-0-1", "9-0-2", "9-0-3"]
    assert [event["entity"][0]["what"] for event in events] == [
        {"reference": "Patient/a"},
        {"reference": "Patient/b"},
        {"identifier": {"system": "urn:verity:subject-token", "value": "00ff"}},
        {"identifier": {"system": "urn:verity:subject", "value": "MRN 7"}},
    ]
    assert b64decode(events[0]["entity"][1]["query"]) == b"SELECT 1"
    (one,) = audit_events(many, "9-0", Place(region="eu-1", patients_max=3))
    assert [entity["role"]["code"] for entity in one["entity"] if "role" in entity] == ["24"]
    assert one["meta"]["profile"][0].endswith(".Query")


def test_a_broken_glass_is_told_with_its_reason() -> None:
    event = only(entry(Kind.READ, grant=1, reason="unconscious"))
    assert event["subtype"][1]["code"] == "110127"
    purpose = event["agent"][2]["purposeOfUse"][0]
    assert (purpose["coding"][0]["code"], purpose["text"]) == ("BTG", "unconscious")


def test_a_statement_that_is_not_kept_stands_by_its_fingerprint() -> None:
    event = only(entry(Kind.QUERY, fingerprint="ab" * 32, object=""))
    assert b64decode(event["entity"][1]["query"]) == b"statement sha256:" + b"ab" * 32


def test_microseconds_are_kept_where_there_are_some() -> None:
    assert only(entry(Kind.READ, time=TIME + 7))["recorded"] == "2026-11-22T06:54:00.123007Z"
