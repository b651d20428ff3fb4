"""The part of the blocking face that is about projections."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from vdb.client.projection_line import ParkedEvent, RowDifferences
from vdb.client.sync_base import SyncBase
from vdb.client.values import Rows, Where
from vdb.types import Position


class SyncProjectionFace(SyncBase):
    """Rows that projections keep, and how they are made anew. See `ProjectionFace`."""

    def rows(
        self,
        projection: str,
        table: str,
        where: Where | None = None,
        order_by: Sequence[str] = (),
        limit: int = 100,
        *,
        timeout: float | None = None,
    ) -> Rows:
        """Rows of a projection's table that equal `where`. See `AsyncFace.rows`."""
        return self._run(partial(self._face.rows, projection, table, where, order_by, limit, timeout=timeout))

    def wait_for_projection(self, projection: str, position: Position | str, timeout: float | None = None) -> bool:
        """Wait until a projection has applied everything up to `position`; False if it hasn't in time."""
        return self._run(partial(self._face.wait_for_projection, projection, position, timeout))

    def wait_for(self, projection: str, position: Position | str, timeout: float | None = None) -> bool:
        """`wait_for_projection`: what was appended up to `Published.position` is in the rows then.

        Of an event that was read, `RecordedEvent.after`: its `position` is where it lies, and it isn't waited for.
        """
        return self.wait_for_projection(projection, position, timeout)

    def rebuild_projection(self, projection: str, *, hold: bool = False, timeout: float | None = None) -> None:
        """Build a projection's rows anew beside those in use, then use the new ones. Returns once it has begun."""
        self._run(partial(self._face.rebuild_projection, projection, hold=hold, timeout=timeout))

    def switch_projection(self, projection: str, *, back: bool = False, timeout: float | None = None) -> int:
        """Use the rows that were built beside; `back`: those in use before. The generation that is in use then."""
        return self._run(partial(self._face.switch_projection, projection, back=back, timeout=timeout))

    def diff_projection(
        self, projection: str, max_differences: int = 100, *, timeout: float | None = None
    ) -> RowDifferences:
        """How the rows that were built beside differ from those in use."""
        return self._run(partial(self._face.diff_projection, projection, max_differences, timeout=timeout))

    def parked_events(
        self, projection: str, max_events: int = 100, *, timeout: float | None = None
    ) -> list[ParkedEvent]:
        """Events that a projection passed over because its handlers failed."""
        return self._run(partial(self._face.parked_events, projection, max_events, timeout=timeout))

    def retry_parked(
        self, projection: str, position: Position | str | None = None, *, timeout: float | None = None
    ) -> int:
        """Try a parked event again, or all, with those that wait behind; how many are applied now."""
        return self._run(partial(self._face.retry_parked, projection, position, timeout=timeout))

    def drop_parked(
        self, projection: str, position: Position | str | None = None, *, timeout: float | None = None
    ) -> int:
        """Skip a parked event for good, or all; how many these were."""
        return self._run(partial(self._face.drop_parked, projection, position, timeout=timeout))
