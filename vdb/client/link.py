"""One live RPC connection, for whom its calls are made, and the watch over its answers.

A call is made for the person whom `vdb.context(actor=...)` names around it: the node is told before the call where
that is another one than for the call before.

A half-open connection never says that it is lost: an answer that is overdue ends the link. One that is merely late is
reported, so that a client of several nodes can look whether another of them has taken over.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio

from vdb.errors import ConnectionLost, VerityError
from vdb.events.event_context import current_context
from vdb.marks import mark
from vdb.rpc.client import OnDone, RpcClient
from vdb.rpc.questions import Question
from vdb.types import GroupId

ANSWER_SECONDS_MAX = 10.0
"""A link whose node doesn't answer a call for so long, beyond what the call may wait for, is given up."""

LATE_SECONDS = 0.5
"""An answer is late that takes so long beyond what the call may wait for."""

SIGN_SECONDS = 1.0
"""How often a node that is at a long call is asked for a sign of life."""

_WATCH_SECONDS = 1.0

_FOR_NOBODY = ("authenticate", "openSession", "regions", "speakFor", "status", "sqlClose", "sqlCloseCursor")
"""Calls of the client's own: for whom they are made isn't asked."""


class Link:
    """Calls over one connection. `lost` is set once no call can succeed any more."""

    def __init__(
        self,
        rpc: RpcClient,
        address: str,
        on_late: Callable[[Link], Awaitable[None]],
        has_others: Callable[[], bool],
    ) -> None:
        """`on_late` is awaited, again and again, while an answer is late and there are other nodes to ask."""
        self._rpc = rpc
        self._on_late = on_late
        self._has_others = has_others
        self.address = address
        self.region = ""
        """Where its node is, as it said itself."""
        self.groups: tuple[GroupId, ...] = ()
        """What its node holds, as it said itself."""
        self._deadlines: dict[int, float] = {}
        """By serial number: when the answer to a call is overdue, in the loop's time."""
        self._serial = 0
        self._person = ""
        """For whom the node takes the calls to be made that come next."""
        self.lost = anyio.Event()

    @property
    def usable(self) -> bool:
        """A call may still succeed."""
        if self._rpc.closed:
            self.lost.set()
        return not self.lost.is_set()

    def start(
        self,
        method: str,
        build: Callable[[Any], None] | None,
        on_done: OnDone,
        *,
        wait_seconds: float = 0.0,
        person: str | None = None,
    ) -> Question:
        """Queue a call behind those started before. `on_done` gets the results or the error, and must not block.

        `person`: for whom it is made; None: for whom the context names.
        Raises what says that nothing was sent: ConnectionLost, Overloaded, InvalidArgument.
        """
        if method not in _FOR_NOBODY:
            self._speak_for(current_context().actor if person is None else person)
        self._serial += 1
        serial = self._serial

        def done(results: Any, error: Exception | None) -> None:
            del self._deadlines[serial]
            if isinstance(error, ConnectionLost):
                self.lost.set()
            on_done(results, error)

        try:
            question = self._rpc.call_nowait(method, build, done)
        except ConnectionLost:
            self.lost.set()
            raise
        self._deadlines[serial] = anyio.current_time() + wait_seconds + ANSWER_SECONDS_MAX
        return question

    def _speak_for(self, person: str) -> None:
        """Say for whom the next call is made. What the node doesn't accept, it says to that call as well."""
        if person != self._person:
            self.start("speakFor", lambda params: setattr(params, "person", person), lambda _results, _error: None)
            self._person = person

    async def call(self, method: str, build: Callable[[Any], None] | None = None, *, wait_seconds: float = 0.0) -> Any:
        """The results of one call. ConnectionLost when the link breaks or the answer is overdue."""
        outcome: list[Any] = []
        done = anyio.Event()

        def on_done(results: Any, error: Exception | None) -> None:
            outcome.extend((results, error))
            done.set()

        question = self.start(method, build, on_done, wait_seconds=wait_seconds)
        serial = self._serial
        try:
            await done.wait()
        except BaseException:
            self._deadlines.pop(serial, None)
            self._rpc.cancel(question)
            raise
        results, error = outcome
        if error is not None:
            raise error
        return results

    async def call_long(self, method: str, build: Callable[[Any], None], *, wait_seconds: float) -> Any:
        """`call` for what may take its time: the node is asked for signs of life meanwhile."""
        outcome: list[Any] = []
        done = anyio.Event()

        def on_done(results: Any, error: Exception | None) -> None:
            outcome.extend((results, error))
            done.set()

        question = self.start(method, build, on_done, wait_seconds=wait_seconds)
        serial = self._serial
        try:
            while not done.is_set():
                with anyio.move_on_after(SIGN_SECONDS):
                    await done.wait()
                if not done.is_set():
                    with suppress(VerityError):  # a link that is lost fails the question as well
                        await self.call("status")
        except BaseException:
            self._deadlines.pop(serial, None)
            self._rpc.cancel(question)
            raise
        results, error = outcome
        if error is not None:
            raise error
        return results

    def tell(self, method: str, build: Callable[[Any], None]) -> None:
        """Call without waiting for an answer, or for the link."""
        if self.usable:
            with suppress(VerityError):
                self.start(method, build, lambda _results, _error: None)

    async def watch(self) -> None:
        """Returns when the link is lost, or when an answer is overdue."""
        while self.usable:
            with anyio.move_on_after(LATE_SECONDS if self._has_others() else _WATCH_SECONDS):
                await self.lost.wait()
            first = min(self._deadlines.values(), default=math.inf)
            now = anyio.current_time()
            if first < now:
                mark("client.answer_overdue")
                self.lost.set()
            elif self._has_others() and first - ANSWER_SECONDS_MAX + LATE_SECONDS < now:
                mark("client.answer_late")
                await self._on_late(self)
