"""One RPC connection at a time to a node, made again when it breaks.

- `link` gives the live connection and makes one if there is none: one attempt at a time, with back-off. It waits as
  long as it must; callers bound it by their own deadline.
- Reads go through `ask`: they change nothing, so they are simply asked again on the next link.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
from anyio.abc import TaskGroup, TaskStatus

from vdb.client.backoff import Backoff
from vdb.client.link import Link
from vdb.errors import ConnectionLost, Overloaded, Timeout, Unreachable
from vdb.ports import Entropy
from vdb.rpc.client import ByteStream, open_client
from vdb.rpc.interface import Interface
from vdb.wire.schema import verity

T = TypeVar("T")

Connector = Callable[[], Awaitable[ByteStream]]
"""Opens a byte stream with trio's names: `send_all`, `receive_some`, `aclose`. Raises ConnectionLost."""

INTERFACE = Interface.of(verity.VerityDb)


class Connection:
    """Keeps a link to one node. All methods run in the loop of `tasks`."""

    def __init__(self, connector: Connector, entropy: Entropy, tasks: TaskGroup) -> None:
        self._connector = connector
        self._tasks = tasks
        self._lock = anyio.Lock()
        self._backoff = Backoff(entropy)
        self._entropy = entropy
        self._link: Link | None = None
        self.last_error = "no attempt has ended yet"

    async def connect(self, within: float) -> None:
        """Make the first link; tries for `within` seconds, at least once. Unreachable if nobody answers."""
        deadline = anyio.current_time() + within
        while True:
            try:
                self._link = await self._open()
                return
            except ConnectionLost as error:
                delay = self._backoff.next_delay()
                if anyio.current_time() + delay > deadline:
                    raise Unreachable(
                        f"no node answers: {error}; if none runs, start one with `vdb start` and wait until it is ready"
                    ) from None
            await anyio.sleep(delay)

    async def link(self) -> Link:
        """The live link; waits until there is one."""
        async with self._lock:
            link, self._link = self._link, None
            if link is not None and not link.usable:
                link = None
                await anyio.sleep(self._backoff.next_delay())
            while link is None:
                try:
                    link = await self._open()
                except ConnectionLost as error:
                    self.last_error = str(error)
                    await anyio.sleep(self._backoff.next_delay())
            self._link = link
            return link

    async def ask(
        self,
        method: str,
        build: Callable[[Any], None],
        parse: Callable[[Any], T],
        *,
        timeout: float,
        wait_seconds: float = 0.0,
    ) -> T:
        """Call something that changes nothing, again after each lost connection and each Overloaded.

        `timeout` and `wait_seconds` (how long the node may hold the answer back) are seconds. Raises Timeout.
        """
        backoff = Backoff(self._entropy)
        with anyio.move_on_after(timeout + wait_seconds):
            while True:
                link = await self.link()
                try:
                    results = await link.call(method, build, wait_seconds=wait_seconds)
                except ConnectionLost as error:
                    self.last_error = str(error)
                except Overloaded as error:
                    self.last_error = str(error)
                    await anyio.sleep(backoff.next_delay())
                else:
                    return parse(results)
        raise Timeout(f"no answer to {method} within {timeout + wait_seconds:g} s; last: {self.last_error}")

    async def _open(self) -> Link:
        stream = await self._connector()
        link: Link = await self._tasks.start(self._hold, stream)
        return link

    async def _hold(self, stream: ByteStream, *, task_status: TaskStatus[Link]) -> None:
        """Own a link's RPC client until the link is lost."""
        async with open_client(stream, INTERFACE) as rpc:
            link = Link(rpc, self._backoff.reset)
            task_status.started(link)
            await link.watch()
