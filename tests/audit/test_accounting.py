"""Accountings of disclosures: what counts, what is left out and says so, and when it is due."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from vdb.audit.accounting import account, years_before
from vdb.audit.entry import AuditEntry, Kind, Outcome


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


NOW, REQUESTED = at("2026-11-23T10:00:00"), at("2026-11-03T10:00:00")


def export(time: str = "2026-01-05", **detail: str) -> AuditEntry:
    given = {
        "recipient": "State Health Dept",
        "description": "immunizations",
        "disclosure-purpose": "PUBHLTH",
        **detail,
    }
    return AuditEntry(
        kind=Kind.EXPORT,
        action="export",
        time=at(time),
        subjects=("Patient/1",),
        detail={name.replace("_", "-"): value for name, value in given.items()},
    )


def accounted(*entries: AuditEntry, **more: Any) -> Any:
    numbered = [(f"{number}-0", entry) for number, entry in enumerate(entries)]
    return account(["Patient/1", "token:aa"], numbered, requested=REQUESTED, now=NOW, **more)


def test_each_disclosure_says_when_to_whom_what_and_why() -> None:
    found = accounted(export(recipient_address="1 Main St", disclosure_basis="164.512(b)"))
    assert found.csv().decode().splitlines() == [
        "date,recipient,address,description,purpose,times,last,entry",
        '2026-01-05T00:00:00.000Z,State Health Dept,1 Main St,immunizations,"PUBHLTH, 164.512(b)",1,,0-0',
    ]
    assert (found.left_out, found.kept_back, found.incomplete) == ({}, 0, ())


def test_it_is_due_after_60_days_and_once_30_more() -> None:
    found = accounted()
    assert (found.due, found.due_extended) == (at("2027-01-02T10:00:00"), at("2027-02-01T10:00:00"))
    assert found.days_elapsed == 20


def test_six_years_count_unless_less_is_asked_for() -> None:
    old, older = export("2020-11-04"), export("2020-11-02")
    assert [one.entry for one in accounted(older, old).disclosures] == ["1-0"]
    assert accounted(old, since=at("2025-01-01")).disclosures == ()
    assert accounted(export("2026-11-04")).disclosures == ()
    assert years_before(at("2028-02-29"), 6) == at("2022-02-28")


@pytest.mark.parametrize(
    ("detail", "paragraph"),
    [
        ({"disclosure_purpose": "TREAT"}, "(i)"),
        ({"disclosure_purpose": "HPAYMT"}, "(i)"),
        ({"disclosure_purpose": "PATRQT"}, "(ii)"),
        ({"disclosure_basis": "164.508"}, "(iv)"),
        ({"disclosure_basis": "limited-data-set"}, "(viii)"),
        ({"disclosure_basis": "authorization"}, "(iv)"),
    ],
)
def test_what_need_not_be_accounted_for_is_counted(detail: dict[str, str], paragraph: str) -> None:
    found = accounted(export(**detail), export(**detail))
    assert found.disclosures == ()
    ((reason, count),) = found.left_out.items()
    assert (reason.endswith(f"164.528(a)(1){paragraph}"), count) == (True, 2)


def test_a_series_stands_as_one_with_its_number_and_its_last() -> None:
    entries = [export(f"2026-0{month}-05") for month in (1, 2, 3)]
    other = export("2026-02-06", recipient="Registry")
    found = accounted(*entries, other)
    assert [(one.recipient, one.times, one.last) for one in found.disclosures] == [
        ("State Health Dept", 3, at("2026-03-05")),
        ("Registry", 1, 0),
    ]
    assert len(accounted(*entries, fold=False).disclosures) == 3
    unnamed = [export(recipient="") for _ in range(2)]
    assert len(accounted(*unnamed).disclosures) == 2


def test_what_an_agency_has_asked_to_keep_back_stays_out_for_its_time() -> None:
    found = accounted(export(kept_back_until="2026-11-23"))
    assert (found.disclosures, found.kept_back) == ((), 1)
    assert len(accounted(export(kept_back_until="2026-11-22")).disclosures) == 1
    assert len(accounted(export(kept_back_until="soon")).disclosures) == 1


def test_others_and_what_was_not_done_do_not_count() -> None:
    others = AuditEntry(kind=Kind.EXPORT, action="export", time=at("2026-01-05"), subjects=("Patient/2",))
    denied = AuditEntry(
        kind=Kind.EXPORT, action="export", time=at("2026-01-05"), subjects=("Patient/1",), outcome=Outcome.DENIED
    )
    read = AuditEntry(kind=Kind.READ, action="read", time=at("2026-01-05"), subjects=("Patient/1",))
    assert accounted(others, denied, read).disclosures == ()


def test_one_about_all_counts_and_what_lacks_something_is_named() -> None:
    everything = AuditEntry(kind=Kind.EXPORT, action="export", time=at("2026-01-05"), subjects=("*",))
    token = AuditEntry(kind=Kind.EXPORT, action="export", time=at("2026-01-06"), subjects=("token:aa",))
    found = accounted(everything, token)
    assert [one.about_all for one in found.disclosures] == [True, False]
    assert found.incomplete[0].lacks == ("recipient", "description", "purpose")
