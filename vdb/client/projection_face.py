"""The part of the face that is about projections."""

from __future__ import annotations

from collections.abc import Sequence

from vdb.client.face_base import FaceBase
from vdb.client.projection_line import ParkedEvent, RowDifferences
from vdb.client.values import Rows, Where
from vdb.types import Position


class ProjectionFace(FaceBase):
    """Rows that projections keep, and how they are made anew. The node that is asked answers for its own files."""

    async def rows(
        self,
        projection: str,
        table: str,
        where: Where | None = None,
        order_by: Sequence[str] = (),
        limit: int = 100,
        *,
        timeout: float | None = None,
    ) -> Rows:
        """Rows of a projection's table that equal `where` in each of its columns. '-column' orders downwards."""
        return await self._gateway.rows(
            self.tenant,
            projection,
            table,
            where=where or {},
            order_by=order_by,
            limit=limit,
            timeout=self._seconds(timeout),
        )

    async def wait_for_projection(
        self, projection: str, position: Position | str, timeout: float | None = None
    ) -> bool:
        """Wait until a projection has applied all up to `position`; False if it hasn't after `timeout` seconds."""
        return await self._gateway.wait_for_projection(
            self.tenant, projection, str(position), timeout=self._seconds(timeout)
        )

    async def wait_for(self, projection: str, position: Position | str, timeout: float | None = None) -> bool:
        """`wait_for_projection`: what was appended up to `Published.position` is in the rows then.

        Of an event that was read, `RecordedEvent.after`: its `position` is where it lies, and it isn't waited for.
        """
        return await self.wait_for_projection(projection, position, timeout)

    async def rebuild_projection(self, projection: str, *, hold: bool = False, timeout: float | None = None) -> None:
        """Build a projection's rows anew beside those in use, which go on, and then use the new ones.

        Returns once it has begun; `status` tells how far it is. `hold`: the new rows are used only when
        `switch_projection` says so. Takes the place of a rebuild that is under way.
        """
        await self._gateway.projections.rebuild(self.tenant, projection, hold=hold, timeout=self._seconds(timeout))

    async def switch_projection(self, projection: str, *, back: bool = False, timeout: float | None = None) -> int:
        """Use the rows that were built beside; `back`: those in use before. The generation that is in use then.

        InvalidArgument where there are none, or they aren't whole, or the check query says that they are wrong.
        """
        return await self._gateway.projections.switch(
            self.tenant, projection, back=back, timeout=self._seconds(timeout)
        )

    async def diff_projection(
        self, projection: str, max_differences: int = 100, *, timeout: float | None = None
    ) -> RowDifferences:
        """How the rows that were built beside differ from those in use; both stand still while they are compared."""
        return await self._gateway.projections.diff(
            self.tenant, projection, max_differences, timeout=self._seconds(timeout)
        )

    async def parked_events(
        self, projection: str, max_events: int = 100, *, timeout: float | None = None
    ) -> list[ParkedEvent]:
        """Events that a projection passed over because its handlers failed."""
        return await self._gateway.projections.parked(
            self.tenant, projection, max_events, timeout=self._seconds(timeout)
        )

    async def retry_parked(
        self, projection: str, position: Position | str | None = None, *, timeout: float | None = None
    ) -> int:
        """Try a parked event again, or all, with those that wait behind; how many are applied now."""
        return await self._gateway.projections.settle(
            self.tenant, projection, str(position or ""), drop=False, timeout=self._seconds(timeout)
        )

    async def drop_parked(
        self, projection: str, position: Position | str | None = None, *, timeout: float | None = None
    ) -> int:
        """Skip a parked event for good, or all; how many these were."""
        return await self._gateway.projections.settle(
            self.tenant, projection, str(position or ""), drop=True, timeout=self._seconds(timeout)
        )
