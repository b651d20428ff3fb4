"""What all parts of the blocking face share: the asynchronous face behind it, and the way into its loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vdb.client.sync_sql import Run

if TYPE_CHECKING:
    from vdb.client.face import AsyncFace


class SyncBase:
    """An asynchronous face, and what runs its methods."""

    def __init__(self, face: AsyncFace, run: Run) -> None:
        self._face = face
        self._run = run

    @property
    def tenant(self) -> int:
        return self._face.tenant
