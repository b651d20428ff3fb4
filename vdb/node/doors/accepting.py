"""Connections from a listener, also where the system has none to give for a while.

Without a file left to open, or without memory, a connection can't be taken: those that there are go on, and end in
time, so waiting is right, and ending the node isn't. Whoever connects waits in the listener's queue meanwhile.
"""

from __future__ import annotations

import errno
import math

import trio

from vdb.marks import mark
from vdb.node import log
from vdb.ports import Listener

CAPACITY_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
RETRY_SECONDS = 0.1
TOLD_AGAIN_SECONDS = 60.0
"""Between two lines in the log, however often connections can't be taken."""


class Accepting:
    """The connections of one listener; `door` is its name in the log."""

    def __init__(self, listener: Listener, door: str) -> None:
        self._listener = listener
        self._door = door
        self._told = -math.inf

    async def next(self) -> trio.abc.Stream:
        """The next connection, however long it takes. Any other OSError than one of CAPACITY_ERRORS is raised."""
        while True:
            try:
                return await self._listener.accept()
            except OSError as error:
                if error.errno not in CAPACITY_ERRORS:
                    raise
                mark("accept.no_capacity")
                self._tell(error)
                await trio.sleep(RETRY_SECONDS)

    def _tell(self, error: OSError) -> None:
        now = trio.current_time()
        if now - self._told < TOLD_AGAIN_SECONDS:
            return
        self._told = now
        log.warning("accept.no_capacity", door=self._door, address=self._listener.address, reason=error.strerror)
