"""Two reports of one log: what has changed, and that the earlier one is as it was made."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import astuple, evolve

from vdb.audit.comparing import compared, read_report
from vdb.audit.compiling import compile_report
from vdb.audit.entry import AuditEntry, Kind, encode_entry
from vdb.audit.printing import report_lines
from vdb.audit.questions import Tally
from vdb.audit.report import Facts, PolicyFacts, Report, TreeFacts
from vdb.errors import EvidenceInvalid

NOW = 1_795_330_440_123_000
TREE = TreeFacts(origin="veritydb/8a/us-east-1/t-1/audit", size=3, root="ab" * 32, signed_by="n", leaves_checked=3)
FACTS = Facts(now=NOW, since=0, until=NOW, tenant=1, group="us-east-1", asked_by="", secured=True, audit=TREE, holds=1)
POLICY = PolicyFacts(serial=1, version="sha256:cd", applied_at=NOW - 1, applied_by="admin")


def made(facts: Facts, *kinds: Kind) -> Report:
    tally = Tally(0, NOW)
    for leaf, kind in enumerate(kinds):
        one = AuditEntry(kind=kind, action="read", actor="dr.lee", data_class="phi", rule="r", purpose="TREAT", time=1)
        tally.add(leaf, encode_entry(one), one)
    return compile_report(facts, tally)


def printed(report: Report, **beside: Any) -> bytes:
    """As the command prints it."""
    return json.dumps({**report.as_json(), "sha256": report.digest, "signed_off_in_record": None, **beside}).encode()


EARLIER = made(FACTS, Kind.READ)


def test_what_has_changed_is_told_by_control() -> None:
    now = made(evolve(FACTS, audit=evolve(TREE, size=9, root="cd" * 32), policy=POLICY), Kind.READ, Kind.READ)
    found = compared(now, read_report(printed(EARLIER, signed_off_in_record=7)))
    assert found.against is not None
    assert (found.against.sha256, found.against.size) == (EARLIER.digest, 3)
    changes = {(one.control, one.what): (one.before, one.after) for one in found.against.changes}
    assert changes["", "records of the audit log"] == (f"3, root {'ab' * 8}", f"9, root {'cd' * 8}")
    assert changes["164.312(a)(1)", "setting policy"] == ("", "serial 1, sha256:cd")
    reads = changes["164.312(a)(1)", "reads of PHI that were allowed"]
    assert [one.partition(";")[0] for one in reads] == ["1", "2"]
    gone = "the policy couldn't be asked for"
    assert ("164.312(a)(1)", "missing", gone, "") in [astuple(one) for one in found.against.changes]
    assert ("164.312(a)(1)", "status") in changes
    text = "\n".join(report_lines(found))
    assert "What has changed since the report of 2026-11-22T06:54:00.123Z" in text
    assert "setting policy: none -> serial 1, sha256:cd" in text
    assert found.digest != now.digest


def test_where_nothing_has_changed_nothing_is_told() -> None:
    found = compared(made(FACTS, Kind.READ), read_report(printed(EARLIER)))
    assert found.against is not None
    assert found.against.changes == ()
    assert "  nothing\n" in "\n".join(report_lines(found))


def test_a_report_that_follows_one_that_followed_one_can_be_read() -> None:
    second = compared(made(FACTS, Kind.READ), read_report(printed(EARLIER)))
    assert read_report(printed(second))["sha256"] == second.digest


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"no JSON", "this is no report: it isn't JSON"),
        (b"[]", "expected veritydb-report/v1"),
        (b"{}", "expected veritydb-report/v1"),
        (printed(EARLIER).replace(b'"met"', b'"mot"', 1), "the earlier report was changed: its SHA-256 is"),
        (printed(EARLIER, sha256=""), "and it says "),
        (printed(EARLIER).replace(b'"size": 3', b'"size": 1e3', 1), "this is no report: canonical JSON holds no float"),
    ],
)
def test_what_is_no_report_as_it_was_made_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(EvidenceInvalid, match=told):
        read_report(data)
