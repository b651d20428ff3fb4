"""One RPC connection at a time to a node, made again when it breaks.

- `link` gives the live connection and makes one if there is none: one attempt at a time, with back-off. It waits as
  long as it must; callers bound it by their own deadline.
- A link is lost when a call on it says so, or when a call's answer is overdue (a half-open link never says so).
- Reads go through `ask`: they change nothing, so they are simply asked again on the next link.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import anyio
from anyio.abc import TaskGroup, TaskStatus

from vdb.client.backoff import Backoff
from vdb.errors import (
    ConnectionLost,
    IndefiniteError,
    NotAvailable,
    Overloaded,
    RefusalCode,
    Timeout,
    Unreachable,
    VerityError,
    error_for_refusal,
)
from vdb.ports import Entropy
from vdb.rpc.client import RemoteError, open_client
from vdb.wire import schema

T = TypeVar("T")

Connector = Callable[[], Awaitable[Any]]
"""Opens a byte stream with trio's names: `send_all`, `receive_some`, `aclose`. Raises ConnectionLost."""

ANSWER_SECONDS_MAX = 10.0
"""A link whose node doesn't answer a call for so long is given up."""


class RemoteFailure(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def reason(self) -> str: ...


def error_from_remote(failure: RemoteFailure) -> VerityError:
    """The exception for a failed call: by the code that the reason starts with, else by the failure's kind."""
    word, colon, message = failure.reason.partition(": ")
    if colon and word in RefusalCode.__members__:
        return error_for_refusal(RefusalCode[word], message)
    kind = str(failure.kind)
    if kind == "overloaded":
        return Overloaded(failure.reason)
    if kind == "disconnected":
        return ConnectionLost(failure.reason)
    if kind == "unimplemented":
        return NotAvailable(f"the node doesn't know this call: {failure.reason}")
    return IndefiniteError(f"the node failed: {failure.reason}")


class Link:
    """One live connection."""

    def __init__(self, rpc: Any, on_answer: Callable[[], None]) -> None:
        self._rpc = rpc
        self._on_answer = on_answer
        self.lost = anyio.Event()

    async def call(self, method: str, build: Callable[[Any], None], *, wait_seconds: float = 0.0) -> Any:
        """The results of one call. ConnectionLost when the link breaks, or is `wait_seconds` and more overdue."""
        try:
            with anyio.move_on_after(wait_seconds + ANSWER_SECONDS_MAX):
                results = await self._rpc.call(method, build)
                self._on_answer()
                return results
        except RemoteError as failure:
            error = error_from_remote(failure)
            if isinstance(error, ConnectionLost):
                self.lost.set()
            raise error from None
        except ConnectionLost:
            self.lost.set()
            raise
        self.lost.set()
        raise ConnectionLost(f"no answer to {method} within {wait_seconds + ANSWER_SECONDS_MAX:g} s")


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
                return await self._open()
            except ConnectionLost as error:
                delay = self._backoff.next_delay()
                if anyio.current_time() + delay > deadline:
                    raise Unreachable(f"no node answers: {error}") from None
            await anyio.sleep(delay)

    async def link(self) -> Link:
        """The live link; waits until there is one."""
        async with self._lock:
            while self._link is None or self._link.lost.is_set():
                if self._link is not None:
                    self._link = None
                    await anyio.sleep(self._backoff.next_delay())
                try:
                    await self._open()
                except ConnectionLost as error:
                    self.last_error = str(error)
                    await anyio.sleep(self._backoff.next_delay())
            return self._link

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

    async def _open(self) -> None:
        stream = await self._connector()
        self._link = await self._tasks.start(self._hold, stream)

    async def _hold(self, stream: Any, *, task_status: TaskStatus[Link]) -> None:
        """Own a link's RPC client until the link is lost."""
        async with open_client(stream, schema.verity.VerityDb) as rpc:
            link = Link(rpc, self._backoff.reset)
            task_status.started(link)
            await link.lost.wait()


