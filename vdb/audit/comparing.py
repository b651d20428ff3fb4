"""What has changed from an earlier report to a new one: status, settings, evidence, what is missing; by control.

Rules
- The earlier report counts only as it was made: its SHA-256 stands in it, and has to fit.
- What both say alike isn't told. A digest of evidence is told by its beginning, where its number is the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from attrs import evolve

from vdb.audit.report import REPORT_FORMAT, Against, Change, Report
from vdb.errors import EvidenceInvalid
from vdb.verifier.canonical import canonical_json, parse_json
from vdb.verifier.faults import Fault

UNSIGNED = ("sha256", "signed_off_in_record")
"""What stands beside a report in its file, and isn't a part of it."""

_DIGEST_SHOWN = 16
_MISSING = "missing: "
_HEX = re.compile(r"[0-9a-f]{64}")


def read_report(data: bytes) -> Mapping[str, Any]:
    """A report from the file that `--json` printed. EvidenceInvalid if it isn't one, or isn't as it was made."""
    try:
        found = parse_json(data)
        if not isinstance(found, dict) or found.get("format") != REPORT_FORMAT:
            raise EvidenceInvalid(f"this is no report: expected {REPORT_FORMAT}, as --json prints it")
        told = str(found.get("sha256"))
        made = sha256(canonical_json({name: found[name] for name in found if name not in UNSIGNED})).hexdigest()
    except Fault as fault:
        raise EvidenceInvalid(f"this is no report: {fault.what}") from None
    if made != told:
        raise EvidenceInvalid(f"the earlier report was changed: its SHA-256 is {made}, and it says {told}")
    return found


def compared(report: Report, earlier: Mapping[str, Any]) -> Report:
    """The report, with what has changed since the earlier one."""
    then, now = earlier["rows"], report.as_json()["rows"]
    changes = [*_between_logs(earlier, report), *_between_rows(then, now)]
    against = Against(
        time=earlier["time"], sha256=earlier["sha256"], size=earlier["audit_log"]["size"], changes=tuple(changes)
    )
    return evolve(report, against=against)


def _between_logs(earlier: Mapping[str, Any], report: Report) -> Iterator[Change]:
    now = report.as_json()
    for what, key in (("records of the audit log", "audit_log"), ("records of the data", "data_log")):
        before, after = earlier[key], now[key]
        told = [f"{log['size']}, root {log['root'][:_DIGEST_SHOWN]}" if log else "unknown" for log in (before, after)]
        if told[0] != told[1]:
            yield Change(control="", what=what, before=told[0], after=told[1])
    for what in ("settings_digest", "software"):
        if earlier[what] != now[what]:
            yield Change(control="", what=what.replace("_", " "), before=earlier[what], after=now[what])


def _between_rows(then: list[Mapping[str, Any]], now: list[Mapping[str, Any]]) -> Iterator[Change]:
    before = {row["control"]: _points(row) for row in then}
    after = {row["control"]: _points(row) for row in now}
    for control in dict.fromkeys((*after, *before)):
        old, new = before.get(control, {}), after.get(control, {})
        for what in dict.fromkeys((*new, *old)):
            if old.get(what, "") != new.get(what, ""):
                named = what.partition(": ")[0] if what.startswith(_MISSING) else what
                yield Change(control=control, what=named, before=old.get(what, ""), after=new.get(what, ""))


def _points(row: Mapping[str, Any]) -> dict[str, str]:
    """All that a row says, each under what it says it of."""
    points = {"status": str(row["status"])}
    points |= {f"setting {name}": str(value) for name, value in row["settings"].items()}
    for one in row["evidence"]:
        parts = [str(one[key]) for key in ("count", "value") if key in one]
        parts += [f"sha256 {one['digest'][:_DIGEST_SHOWN]}"] if one.get("digest") else []
        name, number = str(one["what"]), 1
        while name in points:
            number += 1
            name = f"{one['what']} ({number})"
        points[name] = "; ".join(_short(part) for part in parts)
    points |= {f"{_MISSING}{_without_number(reason)}": reason for reason in row["missing"]}
    return points


def _short(text: str) -> str:
    return f"{text[:_DIGEST_SHOWN]}..." if _HEX.fullmatch(text) else text


def _without_number(reason: str) -> str:
    """What is missing, however often."""
    return re.sub(r":? ?\d+.*$", "", reason)
