"""Which state of a SQL database is meant: by offset, position or time, it is the end of a transaction."""

from __future__ import annotations

from collections.abc import Callable

from vdb.errors import InvalidArgument
from vdb.node.crud.database import CrudDatabase
from vdb.projections.source import OpenedRun
from vdb.types import Position
from vdb.wire.event import ERASED_SCHEMA, decode_batch
from vdb.wire.sql import peek


async def resolve(
    database: CrudDatabase,
    *,
    offset: int | None = None,
    position: Position | None = None,
    timestamp: int | None = None,
) -> int:
    """The offset up to which all transactions are meant; without an argument, all that are committed.

    By position: those that lie before it. By timestamp, in microseconds UTC: those logged at or before it.
    InvalidArgument for what isn't in the log, or several at once.
    """
    given = [each for each in (offset, position, timestamp) if each is not None]
    if len(given) > 1:
        raise InvalidArgument("a state of a database is named by an offset, a position or a time: found several")
    end = database.logged_offset
    if position is not None:
        group = database.reader.group.name
        if position.group != group:
            raise InvalidArgument(
                f"database {database.name!r} lies in group {group}: expected a position of it, found {position}"
            )
        number = position.number
        offset = await _search(database, end, lambda run: run.first_position < number)
    elif timestamp is not None:
        latest = timestamp
        offset = await _search(database, end, lambda run: run.time <= latest)
    elif offset is None:
        return end
    if not 0 <= offset <= end:
        raise InvalidArgument(
            f"database {database.name!r} has {end} events: expected an offset up to that, found {offset}"
        )
    return await _begin_of_transaction(database, offset, end)


async def _begin_of_transaction(database: CrudDatabase, offset: int, end: int) -> int:
    if offset == end:
        return end
    at = offset
    run = await _event(database, at)
    while run.schema_id == ERASED_SCHEMA:
        # It says nothing any more; a transaction begins with a payload that is nobody's data, so one before it does.
        at -= 1
        run = await _event(database, at)
    (payload,) = decode_batch(run.batch)
    return at - peek(payload).number


async def _search(database: CrudDatabase, end: int, is_before: Callable[[OpenedRun], bool]) -> int:
    """How many events lie before the moment: positions and times rise with the offset."""
    low, high = 0, end
    while low < high:
        middle = (low + high) // 2
        if is_before(await _event(database, middle)):
            low = middle + 1
        else:
            high = middle
    return low


async def _event(database: CrudDatabase, offset: int) -> OpenedRun:
    """One event, as a run."""
    state = database.reader.find(database.tenant, database.stream)
    assert state is not None, "the stream of a database doesn't go away"
    (run,) = await database.reader.read_stream(database.tenant, state, database.stream, offset, 1, ids_only=False)
    return run
