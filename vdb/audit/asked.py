"""Questions to an audit log: which entries each of them takes, in words for whoever asks again, and as a test.

Rules
- The words name an entry's fields as they stand in its JSON, so that any program can ask the same of an export.
- PHI was *reached* where it was read, queried, written, created or exported, and nothing stood against it.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from vdb.audit.entry import ALL_SUBJECTS, AuditEntry, Kind, Outcome
from vdb.errors import RefusalCode

NO_POLICY = "no-policy"
"""The rule of what is allowed while no policy was applied."""

GOVERNING = (Kind.POLICY, Kind.KEY, Kind.ADMIN)

_LOOKING = ("listGrants",)
"""Doors where somebody only looks what there is to review, as a report does."""

_REACHED = (Kind.READ, Kind.QUERY, Kind.WRITE, Kind.CREATE, Kind.EXPORT)
_DONE = "outcome ok"
_REACHING = f"kind one of {', '.join(kind.value for kind in _REACHED)}; data-class phi; {_DONE}"


@frozen
class Question:
    words: str
    fits: Callable[[AuditEntry], bool]


def reaches_phi(entry: AuditEntry) -> bool:
    return entry.kind in _REACHED and entry.data_class == "phi" and entry.outcome is Outcome.OK


def _of(*kinds: Kind) -> Question:
    return Question(f"kind {' or '.join(kind.value for kind in kinds)}", lambda entry: entry.kind in kinds)


def _done(kind: Kind) -> Question:
    return Question(f"kind {kind.value}; {_DONE}", lambda entry: entry.kind is kind and entry.outcome is Outcome.OK)


def _refused(kind: Kind) -> Question:
    return Question(
        f"kind {kind.value}; outcome not ok", lambda entry: entry.kind is kind and entry.outcome is not Outcome.OK
    )


def _reaching(words: str, fits: Callable[[AuditEntry], bool]) -> Question:
    return Question(f"{_REACHING}; {words}", lambda entry: reaches_phi(entry) and fits(entry))


def _is_by_somebody(entry: AuditEntry) -> bool:
    """Not the node itself."""
    return entry.credential != "node"


def _names_nobody(entry: AuditEntry) -> bool:
    return not entry.actor and not (entry.kind is Kind.SIGN_IN and entry.outcome is not Outcome.OK)


def _is_in_emergency(entry: AuditEntry) -> bool:
    return entry.grant > 0 or entry.detail.get("broke-glass") == "true"


def _lacks_for_accounting(entry: AuditEntry) -> bool:
    said = entry.detail.get("recipient") and entry.detail.get("description")
    return entry.kind is Kind.EXPORT and entry.outcome is Outcome.OK and not said


QUESTIONS: dict[str, Question] = {
    "entries": Question("all", lambda entry: True),
    "phi-reads": _reaching("kind read or query", lambda entry: entry.kind in (Kind.READ, Kind.QUERY)),
    "phi-writes": _reaching("kind write or create", lambda entry: entry.kind in (Kind.WRITE, Kind.CREATE)),
    "without-policy": _reaching(
        f"rule missing or {NO_POLICY}; credential not node",
        lambda entry: _is_by_somebody(entry) and entry.rule in ("", NO_POLICY),
    ),
    "denials": _of(Kind.DENY),
    "nobody-named": Question("actor missing; not a sign-in that failed", _names_nobody),
    "development": _reaching("credential development", lambda entry: entry.credential == "development"),
    "embedded": _reaching("credential embedded", lambda entry: entry.credential == "embedded"),
    "without-second-factor": _reaching(
        "credential oidc; mfa missing", lambda entry: entry.credential == "oidc" and not entry.mfa
    ),
    "sign-ins": _done(Kind.SIGN_IN),
    "sign-ins-failed": _refused(Kind.SIGN_IN),
    "glasses-broken": _done(Kind.BREAK_GLASS),
    "emergency-access": _reaching("grant, or detail.broke-glass true", _is_in_emergency),
    "reviews": Question(
        f"kind review; door not {', '.join(_LOOKING)}",
        lambda entry: entry.kind is Kind.REVIEW and entry.door not in _LOOKING,
    ),
    "log-reads": _of(Kind.AUDIT),
    "policy-changes": _of(Kind.POLICY),
    "key-changes": _of(Kind.KEY),
    "erasures": _done(Kind.ERASE),
    "erasures-refused": _refused(Kind.ERASE),
    "holds": _done(Kind.HOLD),
    "retention": _done(Kind.RETENTION),
    "retention-refused": _refused(Kind.RETENTION),
    "transfers-refused": Question(
        "code PLACEMENT_VIOLATION", lambda entry: entry.code == RefusalCode.PLACEMENT_VIOLATION.value
    ),
    "disclosures": _done(Kind.EXPORT),
    "disclosures-incomplete": Question(
        f"kind export; {_DONE}; detail.recipient or detail.description missing", _lacks_for_accounting
    ),
    "all-subjects": _reaching("subjects has *", lambda entry: ALL_SUBJECTS[0] in entry.subjects),
    "without-purpose": _reaching(
        "purpose missing; credential not node", lambda entry: _is_by_somebody(entry) and not entry.purpose
    ),
    "attestations": Question("detail.attests", lambda entry: "attests" in entry.detail),
    "shortened": Question("detail.cut", lambda entry: "cut" in entry.detail),
}
