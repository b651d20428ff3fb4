"""How fresh the file of a SQL database is that a statement reads, and who confirms it.

A linearizable read asks a quorum whether this node still leads the group; or the receipt of what it read says so, if it
is committed in the view that was read in (`gate.look`). Then no quorum is asked beside.
"""

from __future__ import annotations

from vdb.errors import NotReady
from vdb.marks import mark
from vdb.node.crud.database import CrudDatabase
from vdb.node.gate.look import Look
from vdb.types import Consistency, Position, ReadLevel

APPLY_SECONDS_MAX = 5.0
"""How long a read waits for the position that it names."""


class Freshness:
    """Of what one session reads."""

    def __init__(self, database: CrudDatabase) -> None:
        self._database = database
        self._look: Look | None = None

    def forget(self) -> None:
        """Nothing that was read with a look will leave any more."""
        self._look = None

    async def reach(self, level: ReadLevel) -> None:
        """Wait until the file is as fresh as a read wants it. NotPrimary, NotReady."""
        if level is Consistency.LINEARIZABLE:
            await self._database.wait_fresh()
            return
        group = self._database.reader.group
        if not isinstance(level, Position) or level.group != group.name:
            return
        if not await group.wait_applied(level.number - 1, APPLY_SECONDS_MAX):
            raise NotReady(
                f"this node has applied group {group.name} up to position {group.state.next_position}: expected "
                f"{level.number} within {APPLY_SECONDS_MAX:g} s"
            )
        await self._database.catch_up(self._database.logged_offset)

    async def look(self, level: ReadLevel) -> None:
        """As `reach`; a linearizable read waits for this node's own log, and for `confirm` or `settle` afterwards.

        A look stays until then: a statement that fails in between leaves its transaction with what it has looked at.
        """
        if level is not Consistency.LINEARIZABLE:
            await self.reach(level)
            return
        self._look = await Look.begin(self._database.reader.group)
        await self._database.catch_up(self._database.logged_offset)

    async def settle(self) -> None:
        """The statement is none whose receipt confirms it: ask the quorum, if nobody has."""
        look, self._look = self._look, None
        if look is not None:
            await self._database.wait_fresh()
            look.still_leads()  # the quorum has vouched for the view of now

    async def confirm(self, *, receipt: bool) -> None:
        """Before rows leave. `receipt`: one is committed next. NotPrimary, NotReady."""
        if receipt and self._look is not None:
            mark("sql.receipt_confirms")
            self._look.still_leads()
            self._look = None
        else:
            await self.settle()
