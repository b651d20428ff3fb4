"""Projections with handlers in Python: the rows that they make, and the same rows folded without them.

Each patient has one row: how many events there were, the number of the last one, and a chain of hashes over all of
them. An event that is missed, applied twice or out of order shows in the chain for ever. The versions of the projection
begin their chains differently, so that rows tell whose they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sim.events.kinds import PREFIX, TYPES, Fact, link
from vdb.ports import Connection
from vdb.projections.config import ProjectionConfig
from vdb.projections.handler import Context, Handlers, StoredEvent
from vdb.projections.tables import Column, ColumnType, Table

NAME = "census"
TABLE = "patients"
VERSIONS = (1, 2)
Row = tuple[int, int, str]
"""How many, the last number, the chain."""

_TABLE = Table(
    name=TABLE,
    columns=(
        Column("patient"), Column("events", ColumnType.INTEGER), Column("last", ColumnType.INTEGER), Column("chain"),
    ),
    key=("patient",),
)  # fmt: skip


class Poisoned(Exception):
    """What handlers raise of an event that they refuse."""


def after(row: Row | None, number: int, version: int) -> Row:
    """A patient's row after one more event, as this version of the projection has it."""
    count, _, chain = row or (0, 0, f"v{version}")
    return count + 1, number, link(chain, number)


def fold(facts: Iterable[Fact], version: int) -> dict[str, Row]:
    """What the table holds after these events."""
    rows: dict[str, Row] = {}
    for fact in facts:
        rows[fact.patient] = after(rows.get(fact.patient), fact.number, version)
    return rows


def apply_event(db: Connection, body: dict[str, Any], version: int) -> None:
    """What each handler does: of two statements, so that half of it would show."""
    patient = body["patient"]
    found = db.execute(f"SELECT events, last, chain FROM {TABLE} WHERE patient = ?", (patient,)).fetchall()
    count, last, chain = after(found[0] if found else None, body["n"], version)
    if not found:
        db.execute(f"INSERT INTO {TABLE} VALUES (?, 0, 0, '')", (patient,))
    db.execute(f"UPDATE {TABLE} SET events = ?, last = ? WHERE patient = ?", (count, last, patient))
    if body["poisoned"]:
        raise Poisoned
    db.execute(f"UPDATE {TABLE} SET chain = ? WHERE patient = ?", (chain, patient))


def census(version: int = 1, *, inline: bool = False) -> ProjectionConfig:
    """A version of the projection as nodes are given it."""

    def handle(db: Connection, event: StoredEvent, _context: Context) -> None:
        apply_event(db, json.loads(event.body), version)

    return ProjectionConfig(
        name=NAME,
        version=version,
        streams=(f"{PREFIX}*",),
        template=Handlers(tables=(_TABLE,), handlers=dict.fromkeys(TYPES, handle)),
        inline=inline,
    )
