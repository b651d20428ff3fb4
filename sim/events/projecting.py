"""Projections with handlers in Python: the rows that they make, and the same rows folded without them.

Each patient has one row: how many events there were, the number of the last one, and a chain of hashes over all of
them. An event that is missed, applied twice or out of order shows in the chain for ever. The versions of the projection
begin their chains differently, so that rows tell whose they are.
"""

from __future__ import annotations

from collections.abc import Iterable

from sim.events.kinds import PREFIX, Admitted, Fact, Left, Moved, link
from sim.options import Options
from vdb.projections.config import Effect, ProjectionConfig
from vdb.projections.handle import ProjectionDb
from vdb.projections.handler import Context
from vdb.projections.projection import Projection
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


def apply_event(db: ProjectionDb, event: Admitted | Moved | Left, version: int) -> None:
    """What each handler does: of two statements, so that half of it would show."""
    found = db.all(f"SELECT events, last, chain FROM {TABLE} WHERE patient = ?", (event.patient,))
    count, last, chain = after(tuple(found[0]) if found else None, event.n, version)
    if not found:
        db.execute(f"INSERT INTO {TABLE} VALUES (?, 0, 0, '')", (event.patient,))
    db.execute(f"UPDATE {TABLE} SET events = ?, last = ? WHERE patient = ?", (count, last, event.patient))
    if event.poisoned:
        raise Poisoned
    db.execute(f"UPDATE {TABLE} SET chain = ? WHERE patient = ?", (chain, event.patient))


def census(version: int, options: Options, effect: Effect | None = None) -> ProjectionConfig:
    """A version of the projection as a node is given it."""
    projection = Projection(
        NAME, version=version, streams=(f"{PREFIX}*",), tables=(_TABLE,), inline=options.events_inline,
        on_error=options.events_policy, batch_events=options.events_batch,
    )  # fmt: skip

    @projection.on(Admitted, Moved, Left)
    def handle(event: Admitted | Moved | Left, context: Context) -> None:
        apply_event(context.db, event, version)

    if effect is not None:
        projection.after_commit(effect)
    return projection.config()
