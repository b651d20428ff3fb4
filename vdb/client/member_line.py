"""A member's way to its consumer group: what is fetched ahead, and what is settled in the background.

Rules
- Each call to the node is a task of its own, in the loop of the gateway. A caller who is cancelled leaves the task
  running, and what it brings is kept for the next caller: a delivery gets lost to no cancellation.
- What was delivered and isn't settled for certain is known here: a member that asks again after a lost answer says so,
  and what comes twice in one attempt is handed on once.
- Settlements that are posted are sent together, after a short while, when many have come, or when somebody waits for
  one. While some are on their way, the next ones gather. They reach the node in the order in which they were posted.
- Settlements whose outcome is unknown are sent again until the member leaves: to settle twice changes nothing. After a
  definite error nothing is sent any more, and whoever waits next gets the error.
- A member that leaves ends what it fetches, settles what was posted, and gives back the rest; what nobody took goes
  back as untried.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import anyio
from attrs import define, field

from vdb.client.consumer_gateway import MemberCalls
from vdb.consumers import Delivered, Settlement, Verdict
from vdb.errors import (
    AuditUnavailable,
    ConnectionLost,
    DiskFull,
    IndefiniteError,
    InvalidArgument,
    NotReady,
    Overloaded,
    Timeout,
    TooLarge,
    Unreachable,
    VerityError,
)
from vdb.limits import CONSUMER_IN_FLIGHT_MAX, SETTLEMENTS_PER_REQUEST_MAX
from vdb.marks import mark

Spawn = Callable[[Callable[[], Coroutine[Any, Any, None]]], object]
"""Starts a task in the loop of the gateway, such as `TaskGroup.start_soon`. RuntimeError once that has ended."""

TAKE_WAIT_SECONDS = 20.0
"""How long one fetch that looks ahead waits on the node."""

ANSWER_SECONDS = 30.0
"""How long a call of the background may take before it is made anew."""

RETRY_SECONDS = 0.5

LEAVE_SECONDS = 0.05
"""How long a member that leaves waits for what it has asked for."""

SETTLE_SECONDS = 0.02
"""How long a posted settlement waits for others."""


PASSING = (IndefiniteError, Unreachable, Overloaded, NotReady, DiskFull, AuditUnavailable)
"""Errors after which the background tries again."""

CLOSED = "this client is closed"
LEFT = "this member has left its consumer group: make another one"


@define(eq=False)
class _Batch:
    """What is settled in one call."""

    settlements: list[Settlement] = field(factory=list)
    urgent: anyio.Event = field(factory=anyio.Event)
    """Set when it shall be sent at once."""
    sent: bool = False
    """It takes no more."""
    done: anyio.Event = field(factory=anyio.Event)
    late: list[int] = field(factory=list)


@define(eq=False)
class _Fetch:
    """A fetch on its way."""

    done: anyio.Event = field(factory=anyio.Event)
    found: list[Delivered] = field(factory=list)
    error: VerityError | None = None
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    abandoned: bool = False
    arrived: float = 0.0
    """In the loop's time."""


class BufferedLine:
    """Implements `vdb.client.consumer_gateway.MemberLine` over calls. All of it runs in one loop."""

    def __init__(self, calls: MemberCalls, spawn: Spawn, ack_seconds: float) -> None:
        """`ack_seconds`: the group's ack deadline."""
        self._calls = calls
        self._ack_seconds = ack_seconds
        self._spawn = spawn
        self._kept: deque[Delivered] = deque()
        """Deliveries that nobody was there to take."""
        self._kept_at = 0.0
        self._fetches: list[_Fetch] = []
        """Those on their way."""
        self._ahead: _Fetch | None = None
        """What was begun before anybody asked for it."""
        self._out: dict[int, int] = {}
        """Attempts by position of what was delivered and isn't settled for certain, as far as it matters."""
        self._batches: deque[_Batch] = deque()
        """What isn't settled yet, in order; the first one may be on its way."""
        self._sender: anyio.CancelScope | None = None
        """Of the task that settles; None: there is none."""
        self._error: VerityError | None = None
        """What ended the settling."""
        self._left = False

    # -- fetching

    async def fetch(self, maximum: int, wait: float, timeout: float) -> list[Delivered]:
        self._check()
        self._absorb_ahead()
        kept = self._take_kept(maximum)
        return kept or await self._result(self._start_fetch(maximum, wait, timeout))

    async def take(self, maximum: int, *, ahead: bool) -> tuple[list[Delivered], float]:
        while True:
            self._check()
            self._absorb_ahead()
            found = self._take_kept(maximum)
            if found:
                age = anyio.current_time() - self._kept_at
                if ahead and not self._kept and self._ahead is None:
                    self._ahead = self._start_fetch(maximum, TAKE_WAIT_SECONDS, ANSWER_SECONDS)
                return found, age
            if self._ahead is None:
                self._ahead = self._start_fetch(maximum, TAKE_WAIT_SECONDS, ANSWER_SECONDS)
            fetch = self._ahead
            await fetch.done.wait()
            if isinstance(fetch.error, PASSING):
                mark("consumer.fetch_again")
                await anyio.sleep(RETRY_SECONDS)

    def _absorb_ahead(self) -> None:
        """Keep what was fetched ahead, if it is here."""
        fetch = self._ahead
        if fetch is not None and fetch.done.is_set():
            self._ahead = None
            if fetch.error is not None and not isinstance(fetch.error, PASSING):
                raise fetch.error
            self._keep(fetch)

    def _take_kept(self, maximum: int) -> list[Delivered]:
        """What was kept and may still be settled in time."""
        if self._kept and anyio.current_time() - self._kept_at >= self._ack_seconds:
            mark("consumer.kept_too_long")
            self._kept.clear()
        return [self._kept.popleft() for _ in range(min(maximum, len(self._kept)))]

    def _start_fetch(self, maximum: int, wait: float, timeout: float) -> _Fetch:
        fetch = _Fetch()

        async def run() -> None:
            fetch.error = ConnectionLost("the client was closed while a member fetched")
            try:
                with fetch.scope:
                    fetch.found = self._new(await self._calls.fetch(maximum, wait, timeout, lambda: list(self._out)))
                    fetch.error = None
            except VerityError as error:
                fetch.error = error
            finally:
                self._fetches.remove(fetch)
                fetch.arrived = anyio.current_time()
                if fetch.abandoned:
                    self._keep(fetch)
                fetch.done.set()

        self._fetches.append(fetch)
        try:
            self._spawn(run)
        except RuntimeError:
            self._fetches.remove(fetch)
            raise InvalidArgument(CLOSED) from None
        return fetch

    def _new(self, came: list[Delivered]) -> list[Delivered]:
        """Those that haven't come before in this attempt."""
        found: list[Delivered] = []
        for delivered in came:
            position = delivered.event.position.number
            if self._out.pop(position, 0) == delivered.attempt:
                mark("consumer.came_twice")
            else:
                found.append(delivered)
            self._out[position] = delivered.attempt
        while len(self._out) > CONSUMER_IN_FLIGHT_MAX:
            del self._out[next(iter(self._out))]
        return found

    async def _result(self, fetch: _Fetch) -> list[Delivered]:
        try:
            await fetch.done.wait()
        except BaseException:
            mark("consumer.fetch_abandoned")
            fetch.abandoned = True
            if fetch.done.is_set():
                self._keep(fetch)
            raise
        if fetch.error is not None:
            raise fetch.error
        return fetch.found

    def _keep(self, fetch: _Fetch) -> None:
        if fetch.found:
            self._kept_at = fetch.arrived if not self._kept else min(self._kept_at, fetch.arrived)
            self._kept.extend(fetch.found)

    # -- settling

    def post(self, settlements: Sequence[Settlement]) -> None:
        self._check()
        self._add(settlements)

    async def settle(self, settlements: Sequence[Settlement], timeout: float) -> list[int]:
        self._check()
        batches = self._add(settlements)
        for batch in batches:
            batch.urgent.set()
        await self._wait_for(batches, timeout)
        asked = {settlement.position for settlement in settlements}
        return sorted(position for batch in batches for position in batch.late if position in asked)

    async def leave(self, timeout: float) -> int:
        if self._left:
            return 0
        self._left = True
        deadline = anyio.current_time() + timeout
        try:
            self._hurry()
            # What a fetch is about to bring comes within this time, and needn't be given back as if it was tried.
            with anyio.move_on_after(min(timeout, LEAVE_SECONDS)):
                for fetch in list(self._fetches):
                    await fetch.done.wait()
            for fetch in list(self._fetches):
                fetch.scope.cancel()
            self._add([_untried(delivered) for delivered in self._unseen()])
            await self._wait_for(self._hurry(), max(0.0, deadline - anyio.current_time()))
        finally:
            if self._sender is not None:
                self._sender.cancel()
        return await self._calls.leave(max(0.0, deadline - anyio.current_time()))

    def _hurry(self) -> list[_Batch]:
        """Have all that is queued sent at once."""
        batches = list(self._batches)
        for batch in batches:
            batch.urgent.set()
        return batches

    def _unseen(self) -> list[Delivered]:
        """What was delivered, and nobody took."""
        ahead, self._ahead = self._ahead, None
        found = [*self._kept, *(ahead.found if ahead is not None else ())]
        self._kept.clear()
        return found

    def _check(self) -> None:
        if self._left:
            raise InvalidArgument(LEFT)
        if self._error is not None:
            raise self._error

    def _add(self, settlements: Sequence[Settlement]) -> list[_Batch]:
        """Queue settlements; the batches that they are in."""
        batches: list[_Batch] = []
        for settlement in settlements:
            if not self._batches or self._batches[-1].sent:
                self._batches.append(_Batch())
            batch = self._batches[-1]
            batch.settlements.append(settlement)
            if len(batch.settlements) >= SETTLEMENTS_PER_REQUEST_MAX:
                batch.sent = True
                batch.urgent.set()
            if not batches or batches[-1] is not batch:
                batches.append(batch)
        if self._batches and self._sender is None:
            self._sender = anyio.CancelScope()
            try:
                self._spawn(self._send)
            except RuntimeError:
                self._sender = None
                raise InvalidArgument(CLOSED) from None
        return batches

    async def _wait_for(self, batches: Sequence[_Batch], timeout: float) -> None:
        """Until all of them are settled. Timeout, or what ended the settling."""
        with anyio.move_on_after(timeout):
            for batch in batches:
                await batch.done.wait()
        if self._error is not None:
            raise self._error
        if not all(batch.done.is_set() for batch in batches):
            raise Timeout(f"no answer to settlements within {timeout:.3g} s; they may count, or be delivered again")

    async def _send(self) -> None:
        """Settle what is queued, batch by batch."""
        scope = self._sender
        assert scope is not None, "the task is started with its scope"
        try:
            with scope:
                while self._batches:
                    batch = self._batches[0]
                    with anyio.move_on_after(SETTLE_SECONDS):
                        await batch.urgent.wait()
                    batch.sent = True
                    batch.late = await self._answer(batch.settlements)
                    self._batches.popleft()
                    batch.done.set()
                    for one in batch.settlements:
                        if one.verdict is not Verdict.EXTEND and self._out.get(one.position) == one.attempt:
                            del self._out[one.position]
        except VerityError as error:
            self._fail(error)
        finally:
            self._sender = None
            if self._batches:
                self._fail(ConnectionLost("the client was closed before settlements were answered: they may count"))

    async def _answer(self, settlements: Sequence[Settlement]) -> list[int]:
        """Send them until their fate is known."""
        while True:
            try:
                return await self._calls.settle(settlements, ANSWER_SECONDS)
            except PASSING:
                mark("consumer.settle_again")
                await anyio.sleep(RETRY_SECONDS)
            except TooLarge:
                half = len(settlements) // 2
                if not half:
                    raise
                mark("consumer.settle_in_halves")
                first = await self._answer(settlements[:half])
                return first + await self._answer(settlements[half:])

    def _fail(self, error: VerityError) -> None:
        """Nothing more is settled: whoever waits is told."""
        self._error = error
        while self._batches:
            self._batches.popleft().done.set()


def _untried(delivered: Delivered) -> Settlement:
    return Settlement(position=delivered.event.position.number, attempt=delivered.attempt, verdict=Verdict.UNTRIED)
