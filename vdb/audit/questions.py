"""What a compliance report asks an audit log: one pass over its entries, and an answer to each question.

Rules
- An answer is a number, the leaves where the first and the last of the entries stand, and the SHA-256 of these entries
  as they were sealed, each with a newline behind it, in order: whoever has an export can compute it again.
- A question is asked of the entries of the report's period alone.
- Samples are the accesses with the smallest SHA-256 of (the tree's root, the entry): nobody could choose them, and
  everybody can draw them again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from heapq import heappush, heappushpop
from typing import Any

from attrs import define, field, frozen

from vdb.audit.entry import ALL_SUBJECTS, AuditEntry, Kind, Outcome

NO_POLICY = "no-policy"
"""The rule of what is allowed while no policy was applied."""


SAMPLES = 25
"""Accesses of PHI that a report shows one by one."""


@frozen(kw_only=True)
class Sample:
    """One access of PHI."""

    record: int
    """Number of its leaf."""
    time: int
    actor: str
    credential: str
    action: str
    object: str
    purpose: str
    rule: str


@frozen(kw_only=True)
class Answer:
    count: int = 0
    digest: str = ""
    """SHA-256, hex; empty for none."""
    first: int | None = None
    """Leaf of the first of them."""
    last: int | None = None


_LOOKING = ("listGrants",)
"""Doors where somebody only looks what there is to review, as a report does."""


_GOVERNING = (Kind.POLICY, Kind.KEY, Kind.ADMIN)


def _is_phi(entry: AuditEntry) -> bool:
    return entry.data_class == "phi"


def _is_access(entry: AuditEntry) -> bool:
    done = entry.kind in (Kind.READ, Kind.QUERY, Kind.WRITE, Kind.CREATE, Kind.EXPORT)
    return done and _is_phi(entry) and entry.outcome is Outcome.OK


def _is_by_somebody(entry: AuditEntry) -> bool:
    """Not the node itself."""
    return entry.credential != "node"


def _in_emergency(entry: AuditEntry) -> bool:
    return _is_access(entry) and (entry.grant > 0 or entry.detail.get("broke-glass") == "true")


def _without_second_factor(entry: AuditEntry) -> bool:
    return _is_access(entry) and entry.credential == "oidc" and not entry.mfa


def _lacks_for_accounting(entry: AuditEntry) -> bool:
    said = entry.detail.get("recipient") and entry.detail.get("description")
    return entry.kind is Kind.EXPORT and entry.outcome is Outcome.OK and not said


QUESTIONS: dict[str, Callable[[AuditEntry], bool]] = {
    "entries": lambda entry: True,
    "phi-reads": lambda entry: entry.kind in (Kind.READ, Kind.QUERY) and _is_access(entry),
    "phi-writes": lambda entry: entry.kind in (Kind.WRITE, Kind.CREATE) and _is_access(entry),
    "without-policy": lambda entry: _is_access(entry) and _is_by_somebody(entry) and entry.rule in ("", NO_POLICY),
    "denials": lambda entry: entry.kind is Kind.DENY,
    "nobody-named": lambda entry: not entry.actor,
    "development": lambda entry: _is_access(entry) and entry.credential == "development",
    "embedded": lambda entry: _is_access(entry) and entry.credential == "embedded",
    "without-second-factor": _without_second_factor,
    "glasses-broken": lambda entry: entry.kind is Kind.BREAK_GLASS and entry.outcome is Outcome.OK,
    "emergency-access": _in_emergency,
    "reviews": lambda entry: entry.kind is Kind.REVIEW and entry.door not in _LOOKING,
    "log-reads": lambda entry: entry.kind is Kind.AUDIT,
    "policy-changes": lambda entry: entry.kind is Kind.POLICY,
    "consents": lambda entry: entry.kind is Kind.CONSENT,
    "key-changes": lambda entry: entry.kind is Kind.KEY,
    "erasures": lambda entry: entry.kind is Kind.ERASE and entry.outcome is Outcome.OK,
    "holds": lambda entry: entry.kind is Kind.HOLD,
    "retention": lambda entry: entry.kind is Kind.RETENTION,
    "disclosures": lambda entry: entry.kind is Kind.EXPORT and entry.outcome is Outcome.OK,
    "disclosures-incomplete": _lacks_for_accounting,
    "administration": lambda entry: entry.kind is Kind.ADMIN,
    "all-subjects": lambda entry: _is_access(entry) and ALL_SUBJECTS[0] in entry.subjects,
    "without-purpose": lambda entry: _is_access(entry) and _is_by_somebody(entry) and not entry.purpose,
    "attestations": lambda entry: "attests" in entry.detail,
    "shortened": lambda entry: "cut" in entry.detail,
}


@define
class _Asked:
    count: int = 0
    digest: Any = field(factory=sha256)
    first: int | None = None
    last: int | None = None


class Tally:
    """Takes in the entries of a log in order, and answers."""

    def __init__(self, since: int, until: int, root: bytes = b"") -> None:
        """The period, in microseconds UTC, its end not in it; the root of the signed tree."""
        self._since = since
        self._until = until
        self._root = root
        self._drawn: list[tuple[bytes, Sample]] = []
        """A heap with the largest hash first: hashes are kept with their bits turned over."""
        self.system: Tally | None = None
        """The same of the log that tells what is about no tenant, if that could be read."""
        self.administrators: dict[str, int] = {}
        """How often each changed policies, keys or the cluster."""
        self.allowed_by_rule: dict[str, int] = {}
        """Accesses of PHI by the rule that allowed them."""
        self._asked = {name: _Asked() for name in QUESTIONS}
        self.principals: dict[str, int] = {}
        """How often each did something with PHI."""
        self.denials_by_rule: dict[str, int] = {}
        self.credentials: dict[str, int] = {}
        """How it was proven who asks, of what was done with PHI."""
        self.days: dict[int, int] = {}
        """Entries by day, counted from 1970-01-01."""
        self.oldest: int | None = None
        """Time of the log's first entry, before the period too."""
        self.newest: int | None = None
        self.shredded = 0
        """Records that can't be opened any more."""

    def add(self, leaf: int, raw: bytes, entry: AuditEntry) -> None:
        """The next entry: in which leaf it stands, as it was sealed, and what it says."""
        self.oldest = entry.time if self.oldest is None else self.oldest
        self.newest = entry.time
        if not self._since <= entry.time < self._until:
            return
        day = entry.time // 86_400_000_000
        self.days[day] = self.days.get(day, 0) + 1
        if entry.kind in _GOVERNING:
            self.administrators[entry.actor] = self.administrators.get(entry.actor, 0) + 1
        if _is_access(entry):
            self._draw(leaf, raw, entry)
            self.allowed_by_rule[entry.rule] = self.allowed_by_rule.get(entry.rule, 0) + 1
            self.principals[entry.actor] = self.principals.get(entry.actor, 0) + 1
            self.credentials[entry.credential] = self.credentials.get(entry.credential, 0) + 1
        if entry.kind is Kind.DENY:
            self.denials_by_rule[entry.rule] = self.denials_by_rule.get(entry.rule, 0) + 1
        for name, fits in QUESTIONS.items():
            if fits(entry):
                asked = self._asked[name]
                asked.count += 1
                asked.digest.update(raw + b"\n")
                asked.first = leaf if asked.first is None else asked.first
                asked.last = leaf

    def both(self) -> Mapping[str, int]:
        """Principals that govern and reach PHI as well: how often they reached it."""
        governing = self.administrators | (self.system.administrators if self.system is not None else {})
        return {name: count for name, count in sorted(self.principals.items()) if name in governing}

    def samples(self) -> list[Sample]:
        """In the order of the log."""
        return sorted((sample for _, sample in self._drawn), key=lambda one: (one.record, one.time))

    def _draw(self, leaf: int, raw: bytes, entry: AuditEntry) -> None:
        turned = bytes(byte ^ 0xFF for byte in sha256(self._root + raw).digest())
        if len(self._drawn) == SAMPLES and turned <= self._drawn[0][0]:
            return
        sample = Sample(
            record=leaf,
            time=entry.time,
            actor=entry.actor,
            credential=entry.credential,
            action=entry.kind.value,
            object=entry.object or ", ".join(entry.tables),
            purpose=entry.purpose,
            rule=entry.rule,
        )
        if len(self._drawn) == SAMPLES:
            heappushpop(self._drawn, (turned, sample))
        else:
            heappush(self._drawn, (turned, sample))

    def answer(self, question: str) -> Answer:
        asked = self._asked[question]
        return Answer(
            count=asked.count,
            digest=asked.digest.hexdigest() if asked.count else "",
            first=asked.first,
            last=asked.last,
        )
