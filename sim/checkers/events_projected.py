"""Projections of typed streams: what their files hold whenever a life ends, and what clients were given.

P1  a file's rows are the fold of the log up to the position that stands in it, without the events that stand there as
    parked or skipped: those, and no others
P2  the rows that a client is given are a fold of the log up to the position that it is told: without what handlers
    refuse, and of each patient as far as nothing is parked
P4  what handlers refuse is passed over as the projection's policy says: it stands still before it (stop), keeps it as
    skipped (skip), or parks it and all later ones of its patient (park)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from sim.checkers.events_log import EventsLog, LoggedFact
from sim.events.projecting import TABLE, Row, after, fold
from sim.verdict import Verdict
from vdb.projections.rows import dump_tables
from vdb.projections.store import close_sqlcipher, open_sqlcipher
from vdb.projections.tables import META_TABLE
from vdb.world.database import work_on

PARKED_TABLE = "projection_parked"
STOP, PARK, SKIP = POLICIES = ("stop", "park", "skip")


@frozen(kw_only=True)
class Passed:
    """An event that a file says was passed over. `attempts` is 0 of one that only waits."""

    key: str
    attempts: int
    skipped: bool


def check_file(verdict: Verdict, log: EventsLog, file: str, key: bytes, name: str, policy: str) -> None:
    """P1 and P4 of one database. WrongKey or DatabaseDamaged when it can't be read."""
    connection = open_sqlcipher(file, key)
    try:
        tables = work_on(connection, lambda db: dump_tables(db, with_meta=True), name)
    finally:
        close_sqlcipher(connection)
    group = log.contents.ledger.group
    meta = {row[2]: (row[3], row[1]) for row in tables.get(META_TABLE, [])}
    position, version = meta.get(group, (0, 1))
    passed = {
        row[1]: Passed(key=row[4], attempts=row[6], skipped=bool(row[7]))
        for row in tables.get(PARKED_TABLE, []) if row[0] == group
    }  # fmt: skip
    events = before(log.events, position)
    expected = fold((one.fact for one in events if one.position not in passed), version)
    _check_same(verdict, "P1", rows_of(tables.get(TABLE, [])), expected, f"{name}, at {position}, without {[*passed]}")
    check_passed(verdict, events, passed, policy, f"{name}, at {position}")


def check_passed(
    verdict: Verdict, events: Sequence[LoggedFact], passed: Mapping[int, Passed], policy: str, name: str
) -> None:
    """P4: `events` are those before the file's position."""
    if policy == STOP:
        beyond = [one.position for one in events if one.fact.poisoned] + [*passed]
        verdict.check("P4", not beyond, f"{name}: passed {beyond}, where it had to stop")
        return
    parked: dict[str, int] = {}
    """Patients of whom something is parked, by the position of the first."""
    refused: dict[str, None] = {}
    """Patients of whom something was passed over: what came after it waited until somebody dropped it."""
    for one in events:
        found, patient = passed.get(one.position), one.fact.patient
        if one.fact.poisoned:
            refused[patient] = None
            verdict.check("P4", found is not None, f"{name}: {one.position} is refused by handlers, and isn't recorded")
        elif policy == SKIP:
            verdict.check("P4", found is None, f"{name}: {one.position} was skipped for no reason")
        if found is None:
            verdict.check(
                "P4", patient not in parked, f"{name}: {one.position} was applied, behind {parked.get(patient)}, parked"
            )
            continue
        verdict.check(
            "P4",
            one.fact.poisoned or (patient in refused and not found.attempts and not found.skipped),
            f"{name}: {one.position} is passed over ({found}), with {parked} parked before it",
        )
        if not found.skipped:
            verdict.check("P4", policy == PARK and found.key == patient, f"{name}: {one.position} is parked: {found}")
            parked.setdefault(patient, one.position)
    known = {one.position for one in events}
    verdict.check("P4", all(at in known for at in passed), f"{name}: {[*passed]} are passed over, events are {known}")


def check_rows(
    verdict: Verdict, log: EventsLog, position: int, rows: Sequence[Sequence[Any]], name: str,
    versions: Sequence[int], policy: str,
) -> None:  # fmt: skip
    """P2: whether these may be the rows of the log up to a position, as one of these versions makes them."""
    found = rows_of(rows)
    events = before(log.events, position)
    if policy == PARK:
        fits = any(_may_be_parked(found, events, version) for version in versions)
        verdict.check("P2", fits, f"{name}: {found} aren't rows of the log up to {position}")
        return
    facts = [one.fact for one in events if not one.fact.poisoned]
    expected = next((made for version in versions if (made := fold(facts, version)) == found), fold(facts, versions[0]))
    _check_same(verdict, "P2", found, expected, f"{name}, at {position}")


def _may_be_parked(found: Mapping[str, Row], events: Iterable[LoggedFact], version: int) -> bool:
    """Each patient's row holds what came before the first event that is refused, and perhaps some after it."""
    may: dict[str, list[Row | None]] = {}
    refused: dict[str, None] = {}
    last: dict[str, Row] = {}
    for one in events:
        patient = one.fact.patient
        if one.fact.poisoned:
            if patient not in refused:
                refused[patient] = None
                may[patient] = [last.get(patient)]
            continue
        last[patient] = after(last.get(patient), one.fact.number, version)
        may[patient] = [*may[patient], last[patient]] if patient in refused else [last[patient]]
    return all(found.get(patient) in rows for patient, rows in may.items()) and all(name in may for name in found)


def rows_of(rows: Iterable[Sequence[Any]]) -> dict[str, Row]:
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def _check_same(
    verdict: Verdict, invariant: str, found: Mapping[str, Row], expected: Mapping[str, Row], name: str
) -> None:
    differing = sorted(key for key in {**found, **expected} if found.get(key) != expected.get(key))
    verdict.check(
        invariant,
        not differing,
        f"{name}: {len(differing)} rows differ from the fold of the log; of the first, it has "
        f"{differing and found.get(differing[0])} instead of {differing and expected.get(differing[0])}",
    )


def before(events: Sequence[LoggedFact], position: int) -> list[LoggedFact]:
    return [one for one in events if one.position < position]
