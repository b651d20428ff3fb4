"""Disclosures in an audit log, as rows of a table: what an accounting of disclosures (45 CFR 164.528) is made of.

Rules
- Every export is a row for each patient that it was about; one about all subjects has `*` and counts for each of them.
- What needn't be accounted for stands there as well, with the paragraph that says so: nothing is left out silently.
- CSV after RFC 4180, UTF-8. A cell that a spreadsheet would take for a formula begins with an apostrophe.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vdb.verifier.fhir import instant_of

DISCLOSURE_COLUMNS = (
    "entry",
    "time",
    "patient",
    "recipient",
    "recipient_address",
    "description",
    "purpose",
    "basis",
    "disclosed_by",
    "request_digest",
    "not_accounted_for",
)

_BY_PURPOSE = {
    **dict.fromkeys(
        (
            "TREAT",
            "ETREAT",
            "BTG",
            "CAREMGT",
            "COC",
            "HPAYMT",
            "CLMATTCH",
            "HOPERAT",
            "HQUALIMP",
            "HACCRED",
            "HSYSADMIN",
        ),
        "treatment, payment and operations, 164.528(a)(1)(i)",
    ),
    "PATRQT": "to the individual, 164.528(a)(1)(ii)",
}

_BY_BASIS = {
    "164.506": "treatment, payment and operations, 164.528(a)(1)(i)",
    "individual": "to the individual, 164.528(a)(1)(ii)",
    "incidental": "incident to a permitted use, 164.528(a)(1)(iii)",
    "authorization": "with an authorization, 164.528(a)(1)(iv)",
    "164.508": "with an authorization, 164.528(a)(1)(iv)",
    "directory": "directory or persons in the care, 164.528(a)(1)(v)",
    "164.510": "directory or persons in the care, 164.528(a)(1)(v)",
    "national-security": "national security, 164.528(a)(1)(vi)",
    "164.512(k)(2)": "national security, 164.528(a)(1)(vi)",
    "custodial": "correctional institutions and custody, 164.528(a)(1)(vii)",
    "164.512(k)(5)": "correctional institutions and custody, 164.528(a)(1)(vii)",
    "limited-data-set": "part of a limited data set, 164.528(a)(1)(viii)",
    "164.514(e)": "part of a limited data set, 164.528(a)(1)(viii)",
}


def disclosure_rows(entry: dict[str, Any], entry_id: str) -> list[list[str]]:
    """Cells in the order of DISCLOSURE_COLUMNS, a row for each patient; none for what is no export that was done."""
    if entry["kind"] != "export" or entry.get("outcome", "ok") != "ok":
        return []
    detail = entry.get("detail", {})
    purpose = detail.get("disclosure-purpose") or entry.get("purpose", "")
    basis = detail.get("disclosure-basis", "")
    rest = [
        detail.get("recipient", ""),
        detail.get("recipient-address", ""),
        detail.get("description", ""),
        purpose,
        basis,
        entry.get("actor", ""),
        detail.get("request-digest", ""),
        exempt_by(purpose, basis),
    ]
    subjects = entry.get("subjects", []) or ["*"]
    return [[entry_id, instant_of(entry.get("time", 0)), subject, *rest] for subject in subjects]


def exempt_by(purpose: str, basis: str) -> str:
    """Why a disclosure needn't be accounted for; empty: it has to be. A basis that is named goes before the purpose."""
    return _BY_BASIS.get(basis, "") if basis else _BY_PURPOSE.get(purpose, "")


def csv_line(cells: Sequence[str]) -> str:
    """One record of CSV, with its line end."""
    return ",".join(map(_cell, cells)) + "\r\n"


def _cell(text: str) -> str:
    safe = f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
    if any(char in safe for char in ',"\r\n'):
        return '"' + safe.replace('"', '""') + '"'
    return safe
