"""A compliance report: what is asked, how the database answers it, the evidence of it, and what it can't do.

Rules
- A row is *met* where the database does what the control asks and the evidence shows that it did; *partial* where
  something is missing, which is named; *operator* where only the clinic can satisfy it. Nothing is met by a promise.
- It never says of anybody that they comply: that is for people to say.
- What wasn't asked, because the one who asks may not or the database can't tell, is missing, and said to be.
- Rules that are only proposed are labelled so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from hashlib import sha256
from typing import Any

from attrs import asdict, field, frozen

from vdb.audit.asked import QUESTIONS
from vdb.audit.questions import Answer, Sample, Tally
from vdb.verifier.canonical import canonical_json
from vdb.verifier.fhir import instant_of

REPORT_FORMAT = "veritydb-report/v1"


class Status(Enum):
    MET = "met"
    PARTIAL = "partial"
    OPERATOR = "operator"
    """Only the clinic can."""


class Requirement(Enum):
    REQUIRED = "required"
    ADDRESSABLE = "addressable"
    PROPOSED = "proposed"
    """A proposed rule: it binds nobody yet."""
    LAW = "law"
    """Not of the HIPAA Security Rule's kinds."""


@frozen(kw_only=True)
class Evidence:
    """What was found, and how it can be found again."""

    what: str
    count: int | None = None
    value: str = ""
    digest: str = ""
    """SHA-256 (hex) of the entries that were counted."""
    records: str = ""
    """Between which records of the audit log they stand."""
    query: str = ""
    """Which entries were counted: a name in the report's `queries`."""


@frozen(kw_only=True)
class Row:
    control: str
    """Its paragraph; unique in a report."""
    title: str
    source: str
    """Which rule book."""
    requirement: Requirement
    status: Status
    feature: str
    """How the database answers it."""
    settings: Mapping[str, str] = field(factory=dict)
    evidence: tuple[Evidence, ...] = ()
    missing: tuple[str, ...] = ()
    """Why it is only partial."""
    operator: str = ""
    """What only the clinic can do."""

    @property
    def citation(self) -> str:
        """Where it stands."""
        if self.requirement is Requirement.PROPOSED:
            return "90 FR 898 (proposed)"
        return f"45 CFR {self.control}" if self.control.startswith("164.") else self.control

    @property
    def settings_digest(self) -> str:
        """SHA-256 (hex) of the settings, as canonical JSON; empty where there are none."""
        return sha256(canonical_json(dict(self.settings))).hexdigest() if self.settings else ""

    def __attrs_post_init__(self) -> None:
        assert bool(self.missing) == (self.status is Status.PARTIAL), (
            f"{self.control}: what is missing makes it partial"
        )
        assert self.operator or self.status is not Status.OPERATOR, f"{self.control}: somebody has to do it"


@frozen(kw_only=True)
class TreeFacts:
    """A log's tree, as its node signed it and as it was found."""

    origin: str
    size: int
    root: str
    """Hex."""
    signed_by: str
    leaves_checked: int
    """So many leaves were read, hashed, and led to this root; 0: nobody looked."""
    gaps: int = 0
    """Entries that are missing in the count."""
    witnesses: tuple[str, ...] = ()
    """Who cosigned, and when."""
    pinned: str = ""
    """The head that was kept earlier, and that this one continues."""
    cosigned: str = ""
    """The last head that the node has had cosigned of itself: who signed, and when. Empty: it hasn't."""
    cosigned_at: int = 0


@frozen(kw_only=True)
class PolicyFacts:
    serial: int
    """0: none was applied."""
    version: str
    applied_at: int
    applied_by: str
    rules: tuple[tuple[str, str], ...] = ()
    """By name, each in words: who may do what with what. Empty where the text wasn't shown."""


@frozen(kw_only=True)
class GrantFacts:
    count: int
    unreviewed: int
    longest_seconds: int
    sessions: tuple[str, ...] = ()
    """Those of the period, each in words: when, who, whose data, why, who has reviewed it and when."""


@frozen(kw_only=True)
class ScanFacts:
    """What the headers of all records of the tenant's data say."""

    records: int
    regions: tuple[tuple[str, str, int], ...]
    """(Data class, region, number of records)."""
    astray: int
    """Records that lie where they mustn't."""


@frozen(kw_only=True)
class KeyFacts:
    provider: str
    root_key_id: str
    tenants: int
    behind: int
    """Tenants whose keys are still wrapped under an older root key."""
    keys: int


@frozen(kw_only=True)
class ErasureFacts:
    count: int
    pending: int
    """Not all nodes have destroyed the keys yet."""


@frozen(kw_only=True)
class NodeFacts:
    name: str
    region: str
    version: str
    groups: tuple[str, ...]
    scrubbed_at: int = 0
    """Microseconds UTC: when the last scrub of the group ended that read all of it; 0: none did yet."""
    scrub_faults: int = 0
    """Damage that scrubs of the group have found since the node started."""


@frozen(kw_only=True)
class Facts:
    """What was asked of the database. None: it couldn't be asked, or didn't answer."""

    now: int
    since: int
    until: int
    tenant: int
    group: str
    asked_by: str
    secured: bool
    """The connection that asked had TLS."""
    audit: TreeFacts
    system: TreeFacts | None = None
    """The log of the group that tells what is about no tenant: policies, keys, members."""
    data: TreeFacts | None = None
    scan: ScanFacts | None = None
    policy: PolicyFacts | None = None
    grants: GrantFacts | None = None
    keys: KeyFacts | None = None
    erasures: ErasureFacts | None = None
    holds: int | None = None
    retention_rules: int | None = None
    nodes: tuple[NodeFacts, ...] = ()
    settings: Mapping[str, str] | None = None
    """Of a node's configuration file, without secrets."""
    settings_digest: str = ""
    notes: tuple[str, ...] = ()
    """What couldn't be asked, and why."""


@frozen(kw_only=True)
class Change:
    """What a control says otherwise than an earlier report."""

    control: str
    what: str
    before: str
    after: str


@frozen(kw_only=True)
class Against:
    """An earlier report of the same log."""

    time: str
    sha256: str
    size: int
    """Records that its audit log had: this one's begins with them, which was proven."""
    changes: tuple[Change, ...]


@frozen(kw_only=True)
class Report:
    facts: Facts
    rows: tuple[Row, ...]
    samples: tuple[Sample, ...]
    """Accesses of PHI, drawn so that nobody could choose them (`vdb.audit.questions`)."""
    software: str
    days: Mapping[str, Mapping[str, int]] = field(factory=dict)
    """Entries of the audit log by day and kind."""
    against: Against | None = None
    """An earlier report, and what has changed since."""

    def count(self, status: Status) -> int:
        return sum(row.status is status for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """In JSON's own types; numbers that may be large as digits."""
        facts = self.facts
        return {
            "format": REPORT_FORMAT,
            "time": instant_of(facts.now),
            "period": {"from": instant_of(facts.since), "to": instant_of(facts.until)},
            "tenant": str(facts.tenant),
            "group": facts.group,
            "asked_by": facts.asked_by,
            "software": self.software,
            "audit_log": asdict(facts.audit),
            "system_log": None if facts.system is None else asdict(facts.system),
            "data_log": None if facts.data is None else asdict(facts.data),
            "settings_digest": facts.settings_digest,
            "notes": list(facts.notes),
            "totals": {status.value: self.count(status) for status in Status},
            "rows": [_row_json(row) for row in self.rows],
            "queries": {
                name: QUESTIONS[name].words
                for name in sorted({e.query for row in self.rows for e in row.evidence if e.query})
            },
            "days": {day: dict(kinds) for day, kinds in self.days.items()},
            "against": None if self.against is None else asdict(self.against),
            "samples": [asdict(one) | {"time": instant_of(one.time)} for one in self.samples],
        }

    def _queries(self) -> list[str]:
        asked = [one.query for row in self.rows for one in row.evidence if one.query]
        return sorted(dict.fromkeys(asked))

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of its canonical JSON: what a reviewer signs off."""
        return sha256(canonical_json(self.as_json())).hexdigest()


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "control": row.control,
        "citation": row.citation,
        "title": row.title,
        "source": row.source,
        "requirement": row.requirement.value,
        "status": row.status.value,
        "feature": row.feature,
        "settings": dict(row.settings),
        "settings_digest": row.settings_digest,
        "evidence": [
            {key: value for key, value in asdict(one).items() if value not in (None, "")} for one in row.evidence
        ],
        "missing": list(row.missing),
        "operator": row.operator,
    }


def counted(what: str, tally: Tally, query: str) -> Evidence:
    """Evidence of a question's answer."""
    answer = tally.answer(query)
    return Evidence(what=what, count=answer.count, digest=answer.digest, records=_between(answer), query=query)


def counted_in_both(what: str, tally: Tally, question: str) -> tuple[Evidence, ...]:
    """The same of the tenant's log, and of the one that tells what is about no tenant."""
    own = counted(what, tally, question)
    if tally.system is None:
        return (own,)
    system = tally.system.answer(question)
    between = f"system {_between(system)}" if system.count else ""
    what = f"{what}, system's log"
    return own, Evidence(what=what, count=system.count, digest=system.digest, records=between, query=question)


def _between(answer: Answer) -> str:
    return "" if answer.first is None else f"{answer.first}-{answer.last}"


def row_of(
    control: str,
    title: str,
    source: str,
    requirement: Requirement,
    feature: str,
    *,
    settings: Mapping[str, str] | None = None,
    evidence: Sequence[Evidence] = (),
    missing: Sequence[str] = (),
    operator: str = "",
) -> Row:
    """A row that is partial if something is missing, and met if not."""
    return Row(
        control=control,
        title=title,
        source=source,
        requirement=requirement,
        status=Status.PARTIAL if missing else Status.MET,
        feature=feature,
        settings=settings or {},
        evidence=tuple(evidence),
        missing=tuple(missing),
        operator=operator,
    )


def operator_row(
    control: str,
    title: str,
    source: str,
    requirement: Requirement,
    operator: str,
    *,
    feature: str = "",
    evidence: Sequence[Evidence] = (),
) -> Row:
    """A row that only the clinic can satisfy."""
    return Row(
        control=control,
        title=title,
        source=source,
        requirement=requirement,
        status=Status.OPERATOR,
        feature=feature or "nothing: this isn't a database's to do",
        evidence=tuple(evidence),
        operator=operator,
    )
