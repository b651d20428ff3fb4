"""Entries of an audit log as FHIR R4 AuditEvents (`vdb.verifier.fhir`, which an export's verifier runs as well)."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from vdb.audit.entry import AuditEntry, encode_entry
from vdb.verifier.canonical import parse_json
from vdb.verifier.fhir import audit_events_of

PATIENTS_MAX = 100
"""Of one entry; above it one event stands for all."""


@frozen(kw_only=True)
class Place:
    """What an entry doesn't say of where it comes from."""

    region: str
    organization: str = ""
    """Whose database it is: stands in denials."""
    address: str = ""
    """Of the database, for its clients."""
    patients_max: int = PATIENTS_MAX

    def as_json(self) -> dict[str, str]:
        """As it stands in an export's manifest."""
        return {
            "region": self.region,
            "organization": self.organization,
            "address": self.address,
            "patients_max": str(self.patients_max),
        }


def audit_events(entry: AuditEntry, event_id: str, place: Place) -> list[dict[str, Any]]:
    """One event, or one for each patient; ids with -0, -1 behind them then."""
    return audit_events_of(parse_json(encode_entry(entry)), event_id, place.as_json())
