"""Q8: the database as of any offset of its log is what the replay held after the last whole transaction before it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

from sim.sql.model import Dump, dump
from sim.verdict import Verdict
from vdb.node.crud.database import CrudDatabase
from vdb.node.crud.databases import CrudDatabases


async def check_past(
    verdict: Verdict, databases: CrudDatabases, database: CrudDatabase, offset: int, dumps: Mapping[int, Dump], who: str
) -> None:
    """Travel there and look. Errors of the node pass: it may be crashing."""
    ends = list(dumps)
    end = ends[bisect_right(ends, offset) - 1]
    as_of = await databases.travel.as_of(database, offset=offset)
    try:
        found = await as_of.file.read(dump)
    finally:
        await as_of.close()
    verdict.check("Q8", as_of.offset == end, f"{who}: AS OF {offset} is said to be {as_of.offset}, and {end} is due")
    differs = found.differs(dumps[end])
    verdict.check("Q8", not differs, f"{who}: AS OF {offset} differs from the log up to {end}: {differs}")
