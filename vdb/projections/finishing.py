"""When rows that were built beside those in use may take their place: at the log's end, checked, at one position."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio

from vdb.errors import ProjectionFailed
from vdb.marks import mark
from vdb.ports import Connection
from vdb.projections.progress import Progress
from vdb.projections.serving import Serving
from vdb.projections.store import SqliteError
from vdb.types import GroupId

CLOSE_SECONDS = 0.5
"""What is built is at the log's end when the rest of the log was read in this time: the switch waits for the rest."""
KNOW_SECONDS = 0.05
"""Between two looks whether the log is known as far as the rows in use are."""
TELL_SECONDS = 10.0
"""Between two words about the progress."""
_CHECKED_ROWS_MAX = 1_000


async def catch_up(
    building: Serving, seen: Callable[[], Mapping[GroupId, int]], on_progress: Callable[[Progress], None]
) -> None:
    """Return when it is near the end of the log; ProjectionFailed where a handler fails.

    `seen`: how far the rows in use are. After a start they may be ahead of what the node knows of the log again: its
    end is then no end, and rows that reach only there would be older than those in use.
    """
    while True:
        while not await building.source.knows(seen()):
            mark("projector.ahead_of_the_log")
            await trio.sleep(KNOW_SECONDS)
        begun = trio.current_time()
        heads = building.source.heads()
        while True:
            with trio.move_on_after(TELL_SECONDS) as waiting:
                await building.rows.wait_for(heads)
            if not waiting.cancelled_caught:
                break
            on_progress(building.source.progress())
        if trio.current_time() - begun <= CLOSE_SECONDS:
            return


async def check(building: Serving) -> str:
    """Why the check query says that the rows are wrong; '' where it doesn't, or there is none."""
    query = "" if building.config is None else building.config.check
    if not query:
        return ""

    def work(db: Connection) -> int:
        return len(db.execute(query).fetchmany(_CHECKED_ROWS_MAX))

    try:
        count = await building.rows.read(work)
    except SqliteError as error:
        return f"its check query can't be run: {type(error).__name__}"
    more = " or more" if count == _CHECKED_ROWS_MAX else ""
    return f"its check query gives {count}{more} rows: expected none" if count else ""


async def align(one: Serving, other: Serving) -> None:
    """Let both reach the end of the log as it is now, and hold them there. One that can't move stays where it is."""
    heads = one.source.heads()
    for serving in (one, other):
        if serving.can_move:
            serving.source.hold(heads)
    for serving in (one, other):
        if serving.can_move:
            try:
                await serving.rows.wait_for(heads)
            except ProjectionFailed:
                mark("projector.stopped_at_the_end")
