"""Q8: the database as of any moment of its log is what the replay held after the last whole transaction before it.

In every run at some ends of transactions, and at any offsets; in some runs at the end of every transaction, named by
offset, position or time. Restore points lie close together there, so that states are built from them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Any

from sim.checkers.sql_log import SqlLog
from sim.sql.model import Dump, dump
from sim.verdict import Verdict
from vdb.node.crud import following
from vdb.node.crud.database import CrudDatabase
from vdb.node.crud.databases import CrudDatabases
from vdb.sql import restore
from vdb.types import GroupId, Position

SPACING = 4
"""Events between two restore points at least, of databases that have a few hundred."""
STEPS = 6
"""Row changes that are applied at a time: restore points are left between these."""
ORDERS = ("onwards", "backwards", "any")


@contextmanager
def near_restore_points(near: bool) -> Iterator[None]:
    """Whether restore points lie close together."""
    before = restore.SPACING_MIN, following.APPLY_STEPS
    if near:
        restore.SPACING_MIN, following.APPLY_STEPS = SPACING, STEPS
    try:
        yield
    finally:
        restore.SPACING_MIN, following.APPLY_STEPS = before


async def check_past(
    verdict: Verdict,
    databases: CrudDatabases,
    database: CrudDatabase,
    offset: int,
    dumps: Mapping[int, Dump],
    who: str,
    *,
    moment: Mapping[str, Any] | None = None,
) -> None:
    """Travel there and look. Errors of the node pass: it may be crashing. `moment`: another name of the offset."""
    ends = list(dumps)
    end = ends[bisect_right(ends, offset) - 1]
    as_of = await databases.travel.as_of(database, **(moment or {"offset": offset}))
    try:
        found = await as_of.file.read(dump)
    finally:
        await as_of.close()
    name = f"AS OF {', '.join(f'{form} {value}' for form, value in moment.items()) if moment else offset}"
    verdict.check("Q8", as_of.offset == end, f"{who}: {name} is said to be {as_of.offset}, and {end} is due")
    differs = found.differs(dumps[end])
    verdict.check("Q8", not differs, f"{who}: {name} differs from the log up to {end}: {differs}")


async def check_every_commit(
    verdict: Verdict, databases: CrudDatabases, database: CrudDatabase, log: SqlLog, random: Random, who: str
) -> None:
    """Travel to the end of each transaction, in a drawn order."""
    ends = [end for end in log.dumps if end <= database.logged_offset]
    order = random.choice(ORDERS)
    if order == "onwards":  # the others come by all restore points at first
        ends = [*ends[-2:], *ends]
    elif order == "backwards":
        ends.reverse()
    else:
        random.shuffle(ends)
    for end in ends:
        offset, moment = _drawn_moment(log, database.reader.group.name, end, random)
        await check_past(verdict, databases, database, offset, log.dumps, who, moment=moment)


def _drawn_moment(log: SqlLog, group: GroupId, end: int, random: Random) -> tuple[int, dict[str, Any]]:
    """A name of the state after the transaction that ends there, and the offset that it means."""
    form = random.choice(("offset", "offset", "position", "timestamp"))
    if form == "timestamp" and end:
        time = log.times[end - 1]
        return bisect_right(log.times, time), {"timestamp": time}
    if form == "position" and end:
        number = log.positions[end - 1] + 1
        return bisect_left(log.positions, number), {"position": Position(group, number)}
    return end, {"offset": end}
