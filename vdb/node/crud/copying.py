"""One file of a SQL database made another's copy, while it is read and written."""

from __future__ import annotations

from functools import partial

from vdb.ports import Connection, Database
from vdb.projections.store import copy_database
from vdb.sql.meta import read_place


async def copy_file(source: Database, target: Database, offset_max: int) -> int | None:
    """Make one file the other, unless that stands beyond an offset by now; where it stands in the log."""
    connection = await target.connect()
    try:
        return await source.read(partial(_copy_into, connection, offset_max))
    finally:
        await target.disconnect(connection)


def _copy_into(target: Connection, offset_max: int, source: Connection) -> int | None:
    source.execute("BEGIN")  # what is looked at is what is copied
    try:
        place = read_place(source).next_offset
        if place > offset_max:
            return None
        copy_database(source, target)
        return place
    finally:
        source.execute("ROLLBACK")
