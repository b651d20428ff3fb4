"""Projections of typed streams: what their files hold whenever a life ends, and what clients were given.

P1  a file's rows are the fold of the log up to the position that stands in it, whole
P2  the rows that a client is given are the fold of the log up to the position that it is told
P4  where a handler refuses an event the projection stands still before it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim.checkers.events_log import EventsLog, LoggedFact
from sim.events.projecting import TABLE, Row, fold
from sim.verdict import Verdict
from vdb.projections.rows import dump_tables
from vdb.projections.store import close_sqlcipher, open_sqlcipher
from vdb.projections.tables import META_TABLE
from vdb.world.database import work_on


def check_file(verdict: Verdict, log: EventsLog, file: str, key: bytes, name: str) -> None:
    """P1 and P4 of one database. WrongKey or DatabaseDamaged when it can't be read."""
    connection = open_sqlcipher(file, key)
    try:
        tables = work_on(connection, lambda db: dump_tables(db, with_meta=True), name)
    finally:
        close_sqlcipher(connection)
    meta = {row[2]: (row[3], row[1]) for row in tables.get(META_TABLE, [])}
    position, version = meta.get(log.contents.ledger.group, (0, 1))
    check_rows(verdict, "P1", log, position, tables.get(TABLE, []), name, (version,))
    refused = next((one.position for one in log.events if one.fact.poisoned), position)
    verdict.check("P4", position <= refused, f"{name} is at {position}, and its handlers refuse the event at {refused}")


def check_rows(
    verdict: Verdict, invariant: str, log: EventsLog, position: int, rows: Sequence[Sequence[Any]], name: str,
    versions: Sequence[int],
) -> None:  # fmt: skip
    """Whether these are the rows of the log up to a position, as one of these versions makes them."""
    found: dict[str, Row] = {row[0]: (row[1], row[2], row[3]) for row in rows}
    facts = [one.fact for one in before(log.events, position)]
    expected = next((made for version in versions if (made := fold(facts, version)) == found), fold(facts, versions[0]))
    differing = sorted(key for key in {**found, **expected} if found.get(key) != expected.get(key))
    verdict.check(
        invariant,
        not differing,
        f"{name}: {len(differing)} rows differ from the fold of the log up to {position}; of the first, it has "
        f"{differing and found.get(differing[0])} instead of {differing and expected.get(differing[0])}",
    )


def before(events: Sequence[LoggedFact], position: int) -> list[LoggedFact]:
    return [one for one in events if one.position < position]
