"""A report as lines of text, for whoever has to read it: what is missing stands before what is fine."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from vdb.audit.report import Evidence, Report, Requirement, Row, Status
from vdb.verifier.fhir import instant_of

WIDTH_MIN = 60
_LABEL = 12
_DIGEST_SHOWN = 16

_WORDS = {
    Requirement.REQUIRED: "required",
    Requirement.ADDRESSABLE: "addressable",
    Requirement.PROPOSED: "only proposed",
    Requirement.LAW: "",
}

_CLOSING = (
    "What this is: a query, not an opinion. Each count can be made again: export the records that are named (vdb audit "
    "export), take the entries that it speaks of as they stand in entries.ndjson, each with a newline, and compare "
    "their SHA-256 with the one here (its first 16 digits; all of it with --json). 'met' says that the database does "
    "its part and that the evidence shows it, for the period and the log above; it says nothing about your "
    "organisation, and is no legal advice. It names people, and patients where the glass was broken: keep it as you "
    "keep a chart. Citations are to the eCFR; what is proposed binds nobody yet."
)


def report_lines(report: Report, width: int = 110) -> Iterator[str]:
    """Lines of at most `width` characters, where words allow it."""
    width = max(width, WIDTH_MIN)
    facts = report.facts
    yield f"Compliance report of {report.software}"
    yield from _labelled("about", f"tenant {facts.tenant}, group {facts.group}", width)
    yield from _labelled("period", f"{_second(facts.since)} to {_second(facts.until)}", width)
    yield from _labelled("made", f"{_second(facts.now)} for {facts.asked_by or 'nobody named'}", width)
    yield from _labelled("audit log", facts.audit.origin, width)
    checked = (
        "all read, hashed, and found to lead to the signed root"
        if facts.audit.leaves_checked == facts.audit.size
        else f"{facts.audit.leaves_checked} of them hashed"
    )
    yield from _labelled("", f"{facts.audit.size} records, {checked}", width)
    yield from _labelled("", f"root {facts.audit.root}", width)
    for note in facts.notes:
        yield from _labelled("not asked", note, width)
    yield ""
    yield (
        f"{report.count(Status.MET)} met, {report.count(Status.PARTIAL)} partial, "
        f"{report.count(Status.OPERATOR)} for you alone"
    )
    yield from _open_points(report, width)
    yield from _changes(report, width)
    source = ""
    for row in report.rows:
        if row.source != source:
            source = row.source
            yield ""
            yield f"== {source} {'=' * max(0, width - len(source) - 4)}"
        yield ""
        yield from _row(row, width)
    yield from _samples(report, width)
    yield ""
    yield from wrap(_CLOSING, width)
    yield f"SHA-256 of this report: {report.digest}"


def _open_points(report: Report, width: int) -> Iterator[str]:
    open_rows = [row for row in report.rows if row.status is Status.PARTIAL]
    if open_rows:
        yield ""
        yield "What is missing"
    for row in open_rows:
        for one in row.missing:
            yield from _indented(f"  {row.control:25} ", one, width)


def _changes(report: Report, width: int) -> Iterator[str]:
    against = report.against
    if against is None:
        return
    yield ""
    yield from wrap(
        f"What has changed since the report of {against.time} (sha256 {against.sha256[:_DIGEST_SHOWN]}). The audit log "
        f"still begins with the {against.size} records that it had then: that was proven.",
        width,
    )
    if not against.changes:
        yield "  nothing"
    control: str | None = None
    for one in against.changes:
        if one.control != control:
            control = one.control
            yield f"  {control or 'in all'}"
        yield from _indented("    ", f"{one.what}: {one.before or 'none'} -> {one.after or 'none'}", width, hanging=6)


def _samples(report: Report, width: int) -> Iterator[str]:
    if report.samples:
        title = f"{len(report.samples)} accesses of PHI, each with its record"
        yield ""
        yield f"== {title} {'=' * max(0, width - len(title) - 4)}"
        yield from _indented("  ", "Drawn by the root above: nobody could choose them.", width)
    for one in report.samples:
        what = f"{one.action} {one.object}".strip()
        told = f"{_second(one.time)} {one.actor or 'nobody'} ({one.credential}): {what}"
        told += f" for {one.purpose}" if one.purpose else ", no purpose given"
        yield from _indented(f"  {one.record:<10}", f"{told}; allowed by {one.rule or 'no rule'}", width)


def _second(micros: int) -> str:
    return instant_of(micros - micros % 1_000_000).replace(".000", "")


def _row(row: Row, width: int) -> Iterator[str]:
    mark = {Status.MET: "MET", Status.PARTIAL: "PARTIAL", Status.OPERATOR: "YOURS"}[row.status]
    word = _WORDS[row.requirement]
    head = f"{mark:8} {row.control}  {row.title}" + (f"  ({word})" if word else "")
    yield from _indented("", head, width, hanging=9)
    yield from _labelled("how", row.feature, width)
    for name, value in row.settings.items():
        yield from _labelled("setting", f"{name}: {value}", width)
    label = "evidence"
    for one in row.evidence:
        yield from _labelled(label, _evidence(one), width)
        label = ""
    for reason in row.missing:
        yield from _labelled("MISSING", reason, width)
    if row.operator:
        yield from _labelled("for you", row.operator, width)


def _evidence(one: Evidence) -> str:
    found = ([] if one.count is None else [f"{one.count:,}"]) + ([one.value] if one.value else [])
    parts = [f"{one.what}: {'; '.join(found)}"]
    if one.records:
        parts.append(f"records {one.records}, sha256 {one.digest[:_DIGEST_SHOWN]}")
    return "; ".join(parts)


def _labelled(label: str, text: str, width: int) -> Iterator[str]:
    yield from _indented(f"  {label:{_LABEL - 2}}", text, width)


def _indented(first: str, text: str, width: int, hanging: int | None = None) -> Iterator[str]:
    indent = " " * (len(first) if hanging is None else hanging)
    yield from wrap(text, width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False) or [first]
