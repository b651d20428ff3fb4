"""The eighteen identifiers, found in fields and texts; and what may stay."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.policy.safe_harbor import Finding, Scope, check_fields, check_payload, check_value
from vdb.policy.safe_harbor_words import SPARSE_ZIP3, Identifier

NOW = Scope(year=2026)
ATTESTED = Scope(year=2026, attested=True)


def found(value: Any, scope: Scope = NOW) -> tuple[str, Identifier] | None:
    finding = check_payload(json.dumps(value).encode(), scope)
    return None if finding is None else (finding.field, finding.identifier)


@pytest.mark.parametrize(
    ("value", "identifier"),
    [
        ({"name": "Lee"}, Identifier.NAME),
        ({"patientName": "Lee"}, Identifier.NAME),
        ({"patient": {"family": "Lee"}}, Identifier.NAME),
        ({"name": [{"given": ["A"]}]}, Identifier.NAME),
        ({"mothers-maiden-name": "Lee"}, Identifier.NAME),
        ({"city": "Springfield"}, Identifier.PLACE),
        ({"address": {"line": ["1 Main"]}}, Identifier.PLACE),
        ({"zip": "12345"}, Identifier.PLACE),
        ({"postalCode": "036"}, Identifier.PLACE),
        ({"zip": 36}, Identifier.PLACE),
        ({"lat": 45.1}, Identifier.PLACE),
        ({"birthDate": "1984-03-12"}, Identifier.DATE),
        ({"dob": 19840312}, Identifier.DATE),
        ({"admission": "March 4"}, Identifier.DATE),
        ({"value": "2019-03"}, Identifier.DATE),
        ({"value": "3/14/2019"}, Identifier.DATE),
        ({"value": "2019-03-04T10:00:00Z"}, Identifier.DATE),
        ({"birthYear": 1930}, Identifier.AGE),
        ({"age": 93}, Identifier.AGE),
        ({"age": "85-95"}, Identifier.AGE),
        ({"ageMonths": 1080}, Identifier.AGE),
        ({"phone": "x"}, Identifier.PHONE),
        ({"value": "(555)123-4567"}, Identifier.PHONE),
        ({"value": "+61291234567"}, Identifier.PHONE),
        ({"fax": "x"}, Identifier.FAX),
        ({"value": "lee@clinic.example"}, Identifier.EMAIL),
        ({"value": "123-45-6789"}, Identifier.SSN),
        ({"ssn": 123456789}, Identifier.SSN),
        ({"mrn": "A1"}, Identifier.RECORD),
        ({"memberId": "A1"}, Identifier.PLAN),
        ({"account": "A1"}, Identifier.ACCOUNT),
        ({"licence": "A1"}, Identifier.LICENCE),
        ({"value": "1HGCM82633A004352"}, Identifier.VEHICLE),
        ({"serialNumber": "A1"}, Identifier.DEVICE),
        ({"value": "https://lee.example"}, Identifier.URL),
        ({"value": "10.0.0.7"}, Identifier.ADDRESS),
        ({"value": "2001:db8:0:1::7"}, Identifier.ADDRESS),
        ({"fingerprint": "A1"}, Identifier.BIOMETRIC),
        ({"photo": "A1"}, Identifier.IMAGE),
        ({"value": "A" * 300}, Identifier.IMAGE),
        ({"patientId": "A1"}, Identifier.OTHER),
        ({"subject": {"reference": "Patient/p-1"}}, Identifier.OTHER),
        ({"value": "3f2504e0-4f89-11d3-9a0c-0305e82c3301"}, Identifier.OTHER),
        ({"value": 5551234567}, Identifier.OTHER),
        ({"value": "5551234567"}, Identifier.OTHER),
        ({"note": "seen in the ward"}, Identifier.TEXT),
        ("seen in the ward", Identifier.TEXT),
        ({"John Smith": 1}, Identifier.TEXT),
        ({"lee@clinic.example": 1}, Identifier.EMAIL),
    ],
)
def test_each_identifier_is_found(value: Any, identifier: Identifier) -> None:
    result = found(value)
    assert result is not None
    assert result[1] is identifier


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"age": 89, "sex": "F", "state": "VT", "zip": "021", "birthYear": 1984},
        {"age": "90+"},
        {"ageMonths": 30},
        {"zip3": "000"},
        {"admissionYear": 2019, "date": "2019"},
        {"pseudonym": "7f3a9c20117743"},
        {"name": None, "city": "", "deceased": True},
        {"drugName": "Aspirin", "testName": "HbA1c"},
        {"code": "44054006999999", "system": "http://snomed.info/sct", "display": "Diabetes mellitus type 2"},
        {"valueQuantity": {"value": 5.4, "unit": "mm Hg"}},
        {"bloodPressure": "120/80", "icd": "E11.9", "loinc": "4548-4"},
        {"death_cause": "trauma", "birthWeight": 3200},
        [{"patient": {"age": 40}}, 1, None],
    ],
)
def test_what_may_stay(value: Any) -> None:
    assert found(value) is None


def test_an_attestation_lets_free_text_in_and_no_more() -> None:
    assert found({"note": "seen in the ward"}, ATTESTED) is None
    assert check_payload(b"seen in the ward", ATTESTED) is None
    assert found({"note": "call 555-123-4567 about it"}, ATTESTED) == ("note", Identifier.PHONE)
    assert found({"note": "a 93-year-old woman"}, ATTESTED) == ("note", Identifier.AGE)
    assert found({"note": "MRN: 7788"}, ATTESTED) == ("note", Identifier.RECORD)
    assert found({"name": "Lee"}, ATTESTED) == ("name", Identifier.NAME)
    assert check_payload(b"\xff\xd8", ATTESTED) == Finding("", Identifier.IMAGE)


def test_a_finding_names_the_field_and_no_value() -> None:
    finding = check_payload(b'{"visit": {"items": [{"dob": "1984-03-12"}]}}', NOW)
    assert str(finding) == (
        "field 'visit.items.dob' holds a date more exact than its year (45 CFR 164.514(b)(2)(i)(C))"
    )
    assert str(check_payload(b'{"x": {"Mr. Lee, ward 3": 1}}', NOW)) == (
        "field 'x.?' holds free text (45 CFR 164.514(b)(2)(i)(R))"
    )
    assert str(check_payload(b"Mr. Lee", NOW)) == "the payload holds free text (45 CFR 164.514(b)(2)(i)(R))"


def test_a_field_given_twice_is_looked_at_twice() -> None:
    assert check_payload(b'{"value": "123-45-6789", "value": "x"}', NOW) == Finding("value", Identifier.SSN)


def test_what_is_written_otherwise_is_the_same() -> None:
    assert check_payload('{"value": "１２３-45-6789"}'.encode(), NOW) == Finding("value", Identifier.SSN)
    assert check_payload(b'{"value": "lee\\u0040clinic.example"}', NOW) == Finding("value", Identifier.EMAIL)


def test_nesting_is_bounded() -> None:
    assert check_payload(b"[" * 100 + b"]" * 100, NOW) == Finding("", Identifier.TEXT)
    assert check_payload(b"[" * 100_000 + b"]" * 100_000, ATTESTED) == Finding("", Identifier.TEXT)


def test_columns_of_a_row() -> None:
    assert check_fields([("id", 1), ("sex", "F"), ("age", 40)], NOW) is None
    assert check_fields([("id", 1), ("last_name", "Lee")], NOW) == Finding("last_name", Identifier.NAME)
    assert check_fields([("scan", b"\x89PNG")], NOW) == Finding("scan", Identifier.IMAGE)


def test_sparse_areas_have_the_year_of_their_census() -> None:
    assert sorted(SPARSE_ZIP3) == [2000, 2010]
    assert len(SPARSE_ZIP3[2000]) == 17
    for prefixes in SPARSE_ZIP3.values():
        assert list(prefixes) == sorted(dict.fromkeys(prefixes))
        for prefix in prefixes:
            assert found({"zip": prefix}) == ("zip", Identifier.PLACE)


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


@given(values)
def test_the_check_has_an_answer_to_everything(value: Any) -> None:
    direct = check_value("", value, NOW)
    packed = check_payload(json.dumps(value).encode(), NOW)
    assert (direct is None) == (packed is None)


@given(values, st.sampled_from(["123-45-6789", "lee@clinic.example", "1984-03-12"]))
def test_what_is_hidden_anywhere_is_found(value: Any, secret: str) -> None:
    finding = check_value("", {"a": [value, {"b": secret}]}, NOW)
    assert finding is not None
    assert secret not in str(finding)


@given(st.binary(max_size=40))
def test_bytes_are_refused_or_text(payload: bytes) -> None:
    check_payload(payload, NOW)
