"""A report from facts and answers: each control is asked once, in the order in which auditors go through them."""

from __future__ import annotations

from vdb.audit.controls_others import OTHERS
from vdb.audit.controls_security import SECURITY
from vdb.audit.questions import Tally
from vdb.audit.report import Facts, Report
from vdb.verifier.fhir import instant_of
from vdb.version import VERSION


def compile_report(facts: Facts, tally: Tally) -> Report:
    """All rows."""
    rows = tuple(control(facts, tally) for control in (*SECURITY, *OTHERS))
    assert len(dict.fromkeys(row.control for row in rows)) == len(rows), "each control stands once"
    days = {instant_of(day * 86_400_000_000)[:10]: dict(sorted(kinds.items())) for day, kinds in tally.days.items()}
    samples = tuple(tally.samples())
    return Report(facts=facts, rows=rows, samples=samples, software=f"veritydb {VERSION}", days=days)
