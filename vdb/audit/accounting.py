"""An accounting of disclosures (45 CFR 164.528): what of one patient was given to whom, in the six years before.

Rules
- Every export that the audit log has counts, unless a paragraph of 164.528(a)(1) leaves it out: those are counted,
  each under its paragraph, so that the one who answers for the accounting sees how many there are.
- One about all subjects counts for each of them.
- Several to one recipient for one purpose may stand as one (164.528(b)(3)): the first in full, their number, the last.
- A disclosure that an oversight agency or law enforcement has asked to keep back (164.528(a)(2)) stays out until the
  day that it named, and is counted apart: the patient isn't told of it.
- The accounting is due 60 days after it was asked for, once 30 days later (164.528(c)(1)).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from attrs import evolve, frozen

from vdb.audit.entry import ALL_SUBJECTS, AuditEntry, Kind, Outcome
from vdb.verifier.disclosures import csv_line, exempt_by
from vdb.verifier.fhir import instant_of

DAYS_TO_ANSWER = 60
DAYS_MORE = 30
YEARS = 6

COLUMNS = ("date", "recipient", "address", "description", "purpose", "times", "last", "entry")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400_000_000


@frozen(kw_only=True)
class Disclosure:
    """What 164.528(b)(2) asks for of each."""

    entry: str
    """Number of its leaf in the audit log, and of the entry in it."""
    time: int
    recipient: str
    address: str
    description: str
    purpose: str
    """A statement of the purpose, or what it was based on."""
    about_all: bool = False
    times: int = 1
    last: int = 0
    """When the last of several was made."""

    @property
    def lacks(self) -> tuple[str, ...]:
        """What 164.528(b)(2) asks for and the log doesn't have."""
        named = (("recipient", self.recipient), ("description", self.description), ("purpose", self.purpose))
        return tuple(name for name, value in named if not value)

    @property
    def cells(self) -> list[str]:
        """In the order of COLUMNS."""
        several = [str(self.times), instant_of(self.last)] if self.times > 1 else ["1", ""]
        return [
            instant_of(self.time),
            self.recipient,
            self.address,
            self.description,
            self.purpose,
            *several,
            self.entry,
        ]


@frozen(kw_only=True)
class Accounting:
    patient: str
    since: int
    """Microseconds UTC, like all times here."""
    until: int
    requested: int
    now: int
    disclosures: tuple[Disclosure, ...]
    left_out: Mapping[str, int]
    """How many need no accounting, by the paragraph that says so."""
    kept_back: int
    """Not for the patient: asked for by an agency, for a time."""

    @property
    def due(self) -> int:
        return self.requested + DAYS_TO_ANSWER * _DAY

    @property
    def due_extended(self) -> int:
        return self.due + DAYS_MORE * _DAY

    @property
    def days_elapsed(self) -> int:
        return (self.now - self.requested) // _DAY

    @property
    def incomplete(self) -> tuple[Disclosure, ...]:
        """Those that lack something which the patient has a right to."""
        return tuple(one for one in self.disclosures if one.lacks)

    def csv(self) -> bytes:
        return "".join(map(csv_line, (COLUMNS, *(one.cells for one in self.disclosures)))).encode()


def account(
    names: Sequence[str],
    entries: Iterable[tuple[str, AuditEntry]],
    *,
    requested: int,
    now: int,
    since: int | None = None,
    until: int | None = None,
    fold: bool = True,
) -> Accounting:
    """The accounting for a patient who stands in the log under one of these names, the first being the one to print.

    `entries`, each with its place, may be about others as well. `since`: six years before it was requested, unless a
    shorter period was asked for.
    """
    end = requested if until is None else until
    start = years_before(requested, YEARS) if since is None else since
    found: list[Disclosure] = []
    left_out: dict[str, int] = {}
    kept_back = 0
    for place, entry in entries:
        if not _counts(entry, names) or not start <= entry.time < end:
            continue
        basis = entry.detail.get("disclosure-basis", "")
        reason = exempt_by(entry.detail.get("disclosure-purpose") or entry.purpose, basis)
        if reason:
            left_out[reason] = left_out.get(reason, 0) + 1
        elif _is_kept_back(entry, now):
            kept_back += 1
        else:
            found.append(_disclosure(place, entry))
    found.sort(key=lambda one: one.time)
    return Accounting(
        patient=names[0],
        since=start,
        until=end,
        requested=requested,
        now=now,
        disclosures=_folded(found) if fold else tuple(found),
        left_out=left_out,
        kept_back=kept_back,
    )


def years_before(time: int, years: int) -> int:
    """The same day and time so many years before; from a 29 February the 28th, where there is none."""
    moment = _EPOCH + timedelta(microseconds=time)
    try:
        before = moment.replace(year=moment.year - years)
    except ValueError:
        before = moment.replace(year=moment.year - years, day=28)
    return (before - _EPOCH) // timedelta(microseconds=1)


def _counts(entry: AuditEntry, names: Sequence[str]) -> bool:
    if entry.kind is not Kind.EXPORT or entry.outcome is not Outcome.OK:
        return False
    return _about_all(entry) or any(name in entry.subjects for name in names)


def _about_all(entry: AuditEntry) -> bool:
    return not entry.subjects or ALL_SUBJECTS[0] in entry.subjects


def _is_kept_back(entry: AuditEntry, now: int) -> bool:
    """The log names the day as `kept-back-until`, such as 2026-12-31: through that day."""
    day = entry.detail.get("kept-back-until", "")
    try:
        end = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)
    except ValueError:
        return False
    return (end - _EPOCH) // timedelta(microseconds=1) > now


def _disclosure(place: str, entry: AuditEntry) -> Disclosure:
    detail = entry.detail
    purpose = detail.get("disclosure-purpose") or entry.purpose
    basis = detail.get("disclosure-basis", "")
    return Disclosure(
        entry=place,
        time=entry.time,
        recipient=detail.get("recipient", ""),
        address=detail.get("recipient-address", ""),
        description=detail.get("description", ""),
        purpose=", ".join(filter(None, (purpose, basis))),
        about_all=_about_all(entry),
    )


def _folded(found: list[Disclosure]) -> tuple[Disclosure, ...]:
    series: dict[tuple[str, str, str], Disclosure] = {}
    for one in found:
        key = (one.recipient, one.address, one.purpose)
        first = series.get(key) if one.recipient else None
        if first is None:
            series[key if one.recipient else (one.entry, "", "")] = one
        else:
            series[key] = evolve(first, times=first.times + 1, last=one.time)
    return tuple(series.values())
