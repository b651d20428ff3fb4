"""What a compliance report asks an audit log: one pass over its entries, and an answer to each question.

Which entries each question takes stands in `vdb.audit.asked`.

Rules
- An answer is a number, the leaves where the first and the last of the entries stand, and the SHA-256 of these entries
  as they were sealed, each with a newline behind it, in order: whoever has an export can compute it again.
- A question is asked of the entries of the report's period alone.
- Samples are the accesses with the smallest SHA-256 of (the tree's root, the entry): nobody could choose them, and
  everybody can draw them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from heapq import heappush, heappushpop
from typing import Any

from attrs import define, field, frozen

from vdb.audit.asked import GOVERNING, QUESTIONS, reaches_phi
from vdb.audit.entry import AuditEntry, Kind

SAMPLES = 25
"""Accesses of PHI that a report shows one by one."""

SHARED_WITHIN = 60_000_000
"""Microseconds: who comes from two machines within them, is two people, or one with two machines."""


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
        self._drawn: list[tuple[bytes, int, Sample]] = []
        """A heap with the largest hash first: hashes are kept with their bits turned over, and with a number."""
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
        self.days: dict[int, dict[str, int]] = {}
        """Entries by day, counted from 1970-01-01, and by kind."""
        self.kinds: dict[str, int] = {}
        self.shared: dict[str, int] = {}
        """Principals that came from another machine within SHARED_WITHIN of the last time, and how often."""
        self._seen: dict[str, tuple[str, int]] = {}
        self.reviewers: dict[str, int] = {}
        """Who has reviewed something, and how often."""
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
        day, kind = self.days.setdefault(entry.time // 86_400_000_000, {}), entry.kind.value
        day[kind] = day.get(kind, 0) + 1
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        self._watch(entry)
        if entry.kind in GOVERNING:
            self.administrators[entry.actor] = self.administrators.get(entry.actor, 0) + 1
        if reaches_phi(entry):
            self._draw(leaf, raw, entry)
            self.allowed_by_rule[entry.rule] = self.allowed_by_rule.get(entry.rule, 0) + 1
            self.principals[entry.actor] = self.principals.get(entry.actor, 0) + 1
            self.credentials[entry.credential] = self.credentials.get(entry.credential, 0) + 1
        if entry.kind is Kind.DENY:
            self.denials_by_rule[entry.rule] = self.denials_by_rule.get(entry.rule, 0) + 1
        for name, question in QUESTIONS.items():
            if question.fits(entry):
                asked = self._asked[name]
                if name == "reviews":
                    self.reviewers[entry.actor] = self.reviewers.get(entry.actor, 0) + 1
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
        return sorted((sample for *_, sample in self._drawn), key=lambda one: (one.record, one.time))

    def _watch(self, entry: AuditEntry) -> None:
        """From which machine each principal comes."""
        host = _host_of(entry.client)
        if not host or not entry.actor:
            return
        before, time = self._seen.get(entry.actor, (host, 0))
        if before != host and entry.time - time < SHARED_WITHIN:
            self.shared[entry.actor] = self.shared.get(entry.actor, 0) + 1
        self._seen[entry.actor] = (host, entry.time)

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
            heappushpop(self._drawn, (turned, self._asked["entries"].count, sample))
        else:
            heappush(self._drawn, (turned, self._asked["entries"].count, sample))

    def answer(self, question: str) -> Answer:
        asked = self._asked[question]
        return Answer(
            count=asked.count,
            digest=asked.digest.hexdigest() if asked.count else "",
            first=asked.first,
            last=asked.last,
        )


def _host_of(client: str) -> str:
    """The machine in an entry's `client`, which reads HOST:PORT, perhaps with a program behind it; empty for others."""
    host, colon, port = client.partition(" ")[0].rpartition(":")
    return host if colon and port.isdecimal() else ""
