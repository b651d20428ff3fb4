from __future__ import annotations

import json

import pytest

from vdb.audit.entry import AuditEntry, Kind, Outcome, decode_entry, encode_entry
from vdb.errors import DamagedData


def test_an_entry_is_json_that_says_what_it_has_to_say() -> None:
    entry = AuditEntry(
        kind=Kind.READ, action="read", time=7, actor="dr.lee", subjects=("Patient/1",), on_behalf_of="dr.kim"
    )
    assert json.loads(encode_entry(entry)) == {
        "kind": "read",
        "action": "read",
        "time": 7,
        "actor": "dr.lee",
        "on-behalf-of": "dr.kim",
        "subjects": ["Patient/1"],
    }
    assert decode_entry(encode_entry(entry)) == entry


def test_a_denial_says_so() -> None:
    entry = AuditEntry(kind=Kind.DENY, action="read", outcome=Outcome.DENIED, code="ACCESS_DENIED")
    assert decode_entry(encode_entry(entry)).outcome is Outcome.DENIED


@pytest.mark.parametrize("data", [b"", b"{}", b'{"kind": "nothing", "action": ""}', b"[1]"])
def test_what_is_no_entry_is_damage(data: bytes) -> None:
    with pytest.raises(DamagedData, match="an entry of the audit log can't be read"):
        decode_entry(data)
