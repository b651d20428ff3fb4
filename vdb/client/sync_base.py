"""What all parts of the blocking face share: the asynchronous face behind it, and the ways into its loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen

from vdb.client.sync_sql import Run
from vdb.ports import Clock

if TYPE_CHECKING:
    from vdb.client.face import AsyncFace

Post = Callable[[Callable[[], None]], None]
"""Has the face's loop call a function soon, and doesn't wait. Raises as a call would where the loop has ended."""


@frozen(kw_only=True)
class Loop:
    """The ways into the loop of a face from another thread."""

    run: Run
    post: Post
    clock: Clock | None = None
    """That runs as the loop's; None: there is none."""


def waiting_post(run: Run) -> Post:
    """A `Post` for a loop that has no other way in: it waits."""

    def post(function: Callable[[], None]) -> None:
        async def call() -> None:
            function()

        run(call)

    return post


class SyncBase:
    """An asynchronous face, and what runs its methods."""

    def __init__(self, face: AsyncFace, run: Run, post: Post | None = None) -> None:
        self._face = face
        self._run = run
        self._loop = Loop(run=run, post=post or waiting_post(run), clock=face.stamps.clock)

    @property
    def tenant(self) -> int:
        return self._face.tenant
