"""`projection_parked`: events that a projection passed over, in the same file and transaction as its position.

    grp         TEXT     with `position`: where the event lies; what it says is read again from the log
    position    INTEGER
    stream      TEXT
    type        TEXT     as the envelope says; "" of what has none, or couldn't be read
    key         TEXT     the event's subject, or else its stream
    error       TEXT     class of the last failure, with a message where it is one of ours; "" while it only waits
    attempts    INTEGER  0 while it only waits
    skipped     INTEGER  1: for good, kept as a record. 0: parked
    PRIMARY KEY (grp, position)

Rules
- While an event is parked, later ones of its key are put behind it, in their order; other keys go on.
- They are applied one by one, in a transaction of their own, when somebody asks for it: decoded and upcast anew. The
  first that fails again stays, with those behind it.
- What is dropped stays as a record, and counts as skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import field, frozen

from vdb.errors import ProjectionFailed
from vdb.ports import Connection
from vdb.projections.tables import PARKED_TABLE
from vdb.types import GroupId, Position

PARKED_MAX = 10_000
"""Parked events of a projection, waiting ones too; beyond, it stops."""

CREATE = (
    f"CREATE TABLE IF NOT EXISTS {PARKED_TABLE} (grp TEXT NOT NULL, position INTEGER NOT NULL, stream TEXT NOT NULL, "
    "type TEXT NOT NULL, key TEXT NOT NULL, error TEXT NOT NULL, attempts INTEGER NOT NULL, skipped INTEGER NOT NULL, "
    "PRIMARY KEY (grp, position)) STRICT"
)
CREATE_INDEX = (
    f"CREATE INDEX IF NOT EXISTS {PARKED_TABLE}_keys ON {PARKED_TABLE} (grp, key, position) WHERE NOT skipped"
)
"""Each batch asks what is parked: that mustn't cost more with each event that was ever skipped."""
_COLUMNS = "grp, position, stream, type, key, error, attempts, skipped"
_BEHIND = (
    f"SELECT count(*) FROM {PARKED_TABLE} AS behind WHERE behind.grp = parked.grp AND behind.key = parked.key "
    "AND NOT behind.skipped AND behind.position > parked.position"
)


@frozen(kw_only=True)
class ParkedEvent:
    """A row of the table."""

    position: Position
    stream: str = field(repr=False)
    type: str
    key: str = field(repr=False)
    error: str = ""
    attempts: int = 0
    skipped: bool = False
    waiting: int = 0
    """Events that wait behind it."""


def create(db: Connection) -> None:
    """Create what is missing, within the caller's transaction."""
    db.execute(CREATE)
    db.execute(CREATE_INDEX)


def parked_keys(db: Connection, group: GroupId) -> dict[str, None]:
    """The keys of which something is parked."""
    rows = db.execute(f"SELECT DISTINCT key FROM {PARKED_TABLE} WHERE grp = ? AND NOT skipped", (group,))
    return {key: None for (key,) in rows.fetchall()}


def put(db: Connection, events: Sequence[ParkedEvent]) -> None:
    """Keep events, within the caller's transaction. ProjectionFailed when there are too many."""
    db.executemany(
        f"INSERT OR REPLACE INTO {PARKED_TABLE} ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                event.position.group, event.position.number, event.stream, event.type, event.key, event.error,
                event.attempts, int(event.skipped),
            )
            for event in events
        ],
    )  # fmt: skip
    if not all(event.skipped for event in events) and _count(db) > PARKED_MAX:
        raise ProjectionFailed(f"more than {PARKED_MAX} events are parked: retry or drop them")


def count_parked(db: Connection) -> tuple[int, int]:
    """How many are parked (waiting ones too), and how many were skipped."""
    parked = _count(db)
    everything: int = db.execute(f"SELECT count(*) FROM {PARKED_TABLE}").fetchone()[0]
    return parked, everything - parked


def _count(db: Connection) -> int:
    found: int = db.execute(f"SELECT count(*) FROM {PARKED_TABLE} WHERE NOT skipped").fetchone()[0]
    return found


def list_parked(db: Connection, maximum: int) -> list[ParkedEvent]:
    """Those that failed, parked and skipped, in the order of their positions; those that only wait are counted."""
    rows = db.execute(
        f"SELECT {_COLUMNS}, iif(skipped, 0, ({_BEHIND})) FROM {PARKED_TABLE} AS parked WHERE attempts > 0 OR skipped "
        "ORDER BY grp, position LIMIT ?",
        (maximum,),
    )
    return [_event(row) for row in rows.fetchall()]


def first_of_keys(db: Connection) -> list[ParkedEvent]:
    """The first parked event of each key."""
    rows = db.execute(
        f"SELECT {_COLUMNS}, 0 FROM {PARKED_TABLE} WHERE (grp, position) IN "
        f"(SELECT grp, min(position) FROM {PARKED_TABLE} WHERE NOT skipped GROUP BY grp, key) ORDER BY grp, position"
    )
    return [_event(row) for row in rows.fetchall()]


def find(db: Connection, position: Position) -> ParkedEvent | None:
    """The parked event at a position."""
    row = db.execute(
        f"SELECT {_COLUMNS}, 0 FROM {PARKED_TABLE} WHERE grp = ? AND position = ? AND NOT skipped",
        (position.group, position.number),
    ).fetchone()
    return None if row is None else _event(row)


def first_of_key(db: Connection, group: GroupId, key: str) -> ParkedEvent | None:
    """The first parked event of one key."""
    row = db.execute(
        f"SELECT {_COLUMNS}, 0 FROM {PARKED_TABLE} WHERE grp = ? AND key = ? AND NOT skipped ORDER BY position LIMIT 1",
        (group, key),
    ).fetchone()
    return None if row is None else _event(row)


def remove(db: Connection, position: Position) -> None:
    """Forget an event that was applied after all."""
    db.execute(f"DELETE FROM {PARKED_TABLE} WHERE grp = ? AND position = ?", (position.group, position.number))


def failed_again(db: Connection, position: Position, error: str) -> None:
    """One more attempt."""
    db.execute(
        f"UPDATE {PARKED_TABLE} SET attempts = attempts + 1, error = ? WHERE grp = ? AND position = ?",
        (error, position.group, position.number),
    )


def drop(db: Connection, position: Position | None) -> int:
    """Skip the event at a position for good, or all that are parked; how many these were."""
    where, values = ("", ()) if position is None else (" AND grp = ? AND position = ?", tuple(_pair(position)))
    changed: int = db.execute(f"UPDATE {PARKED_TABLE} SET skipped = 1 WHERE NOT skipped{where}", values).rowcount
    return changed


def _pair(position: Position) -> tuple[str, int]:
    return position.group, position.number


def _event(row: tuple[Any, ...]) -> ParkedEvent:
    group, position, stream, type_, key, error, attempts, skipped, waiting = row
    return ParkedEvent(
        position=Position(GroupId(group), position),
        stream=stream,
        type=type_,
        key=key,
        error=error,
        attempts=attempts,
        skipped=bool(skipped),
        waiting=waiting,
    )
