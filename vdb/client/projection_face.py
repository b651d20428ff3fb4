"""The part of the face that is about projections."""

from __future__ import annotations

from collections.abc import Sequence

from vdb.client.face_base import FaceBase
from vdb.client.values import Rows, Where
from vdb.types import Position


class ProjectionFace(FaceBase):
    """Rows that projections keep."""

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
        """`wait_for_projection`: what was appended up to `Published.position` is in the rows then."""
        return await self.wait_for_projection(projection, position, timeout)
