from __future__ import annotations

import pytest

from vdb.audit.entry import AuditEntry, Kind
from vdb.audit.search import AuditSearch, called, subject_names

TOKEN = bytes(range(32))
ENTRY = AuditEntry(
    kind=Kind.READ, action="read", actor="app:intake", on_behalf_of="dr.lee", time=100, subjects=("patient-1",)
)
NAMES = subject_names("patient-1", [TOKEN])


@pytest.mark.parametrize(
    ("search", "fits"),
    [
        (AuditSearch(), True),
        (AuditSearch(actor="dr.lee"), True),
        (AuditSearch(actor="app:intake"), True),
        (AuditSearch(actor="dr.who"), False),
        (AuditSearch(kinds=("write", "read")), True),
        (AuditSearch(kinds=("write",)), False),
        (AuditSearch(from_time=100, to_time=101), True),
        (AuditSearch(from_time=101), False),
        (AuditSearch(to_time=100), False),
        (AuditSearch(subject="patient-1"), True),
    ],
)
def test_each_condition_counts(search: AuditSearch, fits: bool) -> None:
    assert search.fits(ENTRY, NAMES) is fits


@pytest.mark.parametrize(
    ("subjects", "fits"),
    [(("patient-2",), False), (("patient-2", f"token:{TOKEN.hex()}"), True), (("*",), True), ((), False)],
)
def test_a_subject_is_found_by_name_by_token_and_in_what_counts_for_all(subjects: tuple[str, ...], fits: bool) -> None:
    entry = AuditEntry(kind=Kind.READ, action="read", subjects=subjects)
    assert AuditSearch(subject="patient-1").fits(entry, NAMES) is fits


def test_a_token_of_the_subject_is_called_by_its_name() -> None:
    entry = AuditEntry(kind=Kind.READ, action="read", subjects=("patient-2", f"token:{TOKEN.hex()}", "token:00"))
    assert called(entry, "patient-1", NAMES).subjects == ("patient-2", "patient-1", "token:00")
    both = AuditEntry(kind=Kind.READ, action="read", subjects=("patient-1", f"token:{TOKEN.hex()}"))
    assert called(both, "patient-1", NAMES).subjects == ("patient-1",)
    assert called(ENTRY, "patient-1", NAMES) is ENTRY
    assert called(entry, "", ()) is entry
