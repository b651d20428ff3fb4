"""A member of a consumer group: it fetches deliveries, or iterates over them, and settles them.

    async with consumer.member() as member:
        async for delivery in member:
            await send(delivery.event)
            await delivery.ack()

Rules
- What is settled in a block is sent at its end at the latest, and what isn't settled is given back then, however the
  block ends: by its end, an error or a cancellation. What was never handed out costs no attempt, nor do the
  deliveries of a fetch that nobody got to: those neither settled nor looked at.
- Iterating fetches ahead as long as events are handled fast: never so many that the last would come near its deadline.
  What lay here for a part of its deadline is extended before it is handed out; what missed it isn't handed out.
- Lost links and changes of the primary raise nothing while iterating. `fetch` raises Timeout when nobody answers it.
- A member with a name is the same one after a restart: what an earlier life of it had is given back at once. Two at a
  time under one name would take each other's deliveries.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

import anyio

from vdb.client.consumer_gateway import MemberLine
from vdb.client.consumer_settings import WAITING_SECONDS_MAX, Seconds, duration_us
from vdb.client.delivery import Delivery
from vdb.client.member_line import LEFT
from vdb.client.values import check_number, check_text
from vdb.consumers import MEMBER_ID_SIZE, Delivered, Settlement, Verdict
from vdb.errors import DeliveryLate, InvalidArgument, VerityError
from vdb.limits import CONSUMER_IN_FLIGHT_MAX, DELIVERIES_PER_FETCH_MAX
from vdb.marks import mark
from vdb.types import Position

if TYPE_CHECKING:
    from vdb.client.consumer import Consumer

WAIT_SECONDS_MAX = 20.0
"""How long one call waits on the node; a longer wait is several."""

LEAVE_SECONDS = 5.0
"""How long a block that ends by an error or a cancellation may take to settle and leave."""

FAST = 1 / 8
"""A batch is handled fast that takes at most this part of the ack deadline."""

LATE = 1 / 4
"""A delivery is extended that has lain here for this part of the ack deadline."""


class Member:
    """For `async with`, once; made by `Consumer.member`. Tasks that use one together share what it fetches."""

    def __init__(self, consumer: Consumer, name: str | None, *, prefetch: int, ignore_unknown: bool) -> None:
        self.consumer = consumer
        self._id = b"" if name is None else _id_of(name)
        self._prefetch = check_number(prefetch, DELIVERIES_PER_FETCH_MAX, "prefetch")
        self._ignore_unknown = ignore_unknown
        self._line: MemberLine | None = None
        self._entered = self._has_left = False
        self._ack_seconds = 0.0
        self._ready: deque[Delivery] = deque()
        """What iterating hands out next; the oldest was fetched at `_ready_at`."""
        self._ready_at = 0.0
        self._began_at = 0.0
        """When the first of `_ready` was handed out."""
        self._batch = 0
        """Deliveries asked for at a time while iterating; 0: none were."""
        self._fetched: list[Delivery] = []
        """What `fetch` gave, as far as it may still be untouched."""

    async def __aenter__(self) -> Member:
        """Join. UnknownConsumer."""
        if self._entered:
            raise InvalidArgument("a member can be entered once; make another one")
        self._entered = True
        info = await self.consumer.info()
        self._ack_seconds = info.settings.ack_us / 1e6
        if info.settings.max_deliver == 1:
            self._prefetch = 0  # what nobody has seen yet when the member leaves would have had its one delivery
        if self._id:
            await self.consumer.line(self._id, self._ack_seconds).leave(self.consumer.seconds(None))
        self._line = self.consumer.line(self._id, self._ack_seconds)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._line is not None, "entered"
        untouched = [*self._ready, *_untouched(self._fetched)]
        if untouched:
            with suppress(VerityError):  # what is wrong with the line, leaving says as well
                self._line.post([delivery.answer(Verdict.UNTRIED) for delivery in untouched])
        self._ready.clear()
        self._fetched.clear()
        self._has_left = True
        if error is None:
            await self._line.leave(self.consumer.seconds(None))
            return
        with anyio.move_on_after(LEAVE_SECONDS, shield=True), suppress(VerityError):
            await self._line.leave(LEAVE_SECONDS)

    async def fetch(self, max: int = 100, wait: Seconds = 5.0, *, timeout: float | None = None) -> list[Delivery]:
        """Up to `max` deliveries; an empty list once nothing has come for `wait` seconds.

        Timeout: nobody answered for `timeout` seconds (by default the client's) beyond the wait.
        """
        most = check_number(max, DELIVERIES_PER_FETCH_MAX, "max")
        if not most:
            raise InvalidArgument("max: expected at least 1 delivery, found 0")
        line = self._open()
        seconds = self.consumer.seconds(timeout)
        end = anyio.current_time() + duration_us(wait, "wait", WAITING_SECONDS_MAX) / 1e6
        while True:
            left = min(end - anyio.current_time(), WAIT_SECONDS_MAX)
            is_last = left < WAIT_SECONDS_MAX
            found = self._take_ready(most)
            if found:
                break
            came = await line.fetch(most, left if left > 0 else 0.0, seconds)
            found = self._known(came)
            if found or (is_last and not came):
                break
        self._fetched = [*_untouched(self._fetched), *found][-CONSUMER_IN_FLIGHT_MAX:]
        return found

    async def ack(self, deliveries: Sequence[Delivery], confirm: bool = False, *, timeout: float | None = None) -> None:
        """`Delivery.ack` for several at once."""
        settlements = [delivery.answer(Verdict.ACK) for delivery in deliveries]
        await self.settle(settlements, confirm=confirm, timeout=timeout)

    async def settle(self, settlements: Sequence[Settlement], *, confirm: bool, timeout: float | None) -> None:
        """Settle deliveries of this member. With `confirm` DeliveryLate names those that came too late."""
        line = self._open()
        if not confirm:
            line.post(settlements)
            return
        late = await line.settle(settlements, self.consumer.seconds(timeout))
        if late:
            group = await self.consumer.group()
            places = ", ".join(str(Position(group, number)) for number in late)
            raise DeliveryLate(
                f"consumer '{self.consumer.name}': what was delivered from {places} isn't this member's any more: its "
                "deadline has passed, or it was settled or given back before; it may have been delivered again"
            )

    def check(self) -> None:
        """InvalidArgument before it is entered, and once it has left."""
        self._open()

    def post(self, settlements: Sequence[Settlement]) -> None:
        """Settle in the background, from a callback: what is wrong is raised by the next call that waits."""
        with suppress(VerityError):
            self._open().post(settlements)

    def take_fresh(self, into: deque[Delivery]) -> float:
        """Move what is ready to be handed out; for how many seconds it may be, without a look at its age."""
        while self._ready:
            into.append(self._ready.popleft())
        return max(0.0, self._ready_at + self._ack_seconds * LATE - anyio.current_time())

    def put_back(self, taken: deque[Delivery]) -> None:
        """Take back what wasn't handed out after all."""
        with suppress(IndexError):
            while True:
                self._ready.appendleft(taken.pop())

    def __aiter__(self) -> Member:
        return self

    async def __anext__(self) -> Delivery:
        """The next delivery, however long that takes."""
        line = self._open()
        await anyio.lowlevel.checkpoint_if_cancelled()
        while True:
            while not self._ready:
                await self._next_batch(line)
            now = anyio.current_time()
            age = now - self._ready_at
            delivery = self._ready.popleft()
            if age >= self._ack_seconds:
                mark("consumer.missed_before_handed_out")
                continue
            if age >= self._ack_seconds * LATE:
                mark("consumer.extended_before_handed_out")
                line.post([delivery.answer(Verdict.EXTEND)])
            return delivery

    async def _next_batch(self, line: MemberLine) -> None:
        """Fetch what is handed out next: twice as many as last time if those were handled fast, else one."""
        spent = anyio.current_time() - self._began_at
        is_fast = self._batch > 0 and spent <= self._ack_seconds * FAST
        self._batch = min(self._batch * 2, self._prefetch) if is_fast and self._prefetch else 1
        found, age = await line.take(self._batch, ahead=self._batch > 1)
        await anyio.lowlevel.checkpoint()  # so that a handler that never waits doesn't stop the others
        self._began_at = anyio.current_time()
        fetched_at = self._began_at - age
        self._ready_at = min(self._ready_at, fetched_at) if self._ready else fetched_at
        self._ready.extend(self._known(found))

    def _take_ready(self, most: int) -> list[Delivery]:
        if self._ready and anyio.current_time() - self._ready_at >= self._ack_seconds:
            mark("consumer.missed_before_fetched")
            self._ready.clear()
        return [self._ready.popleft() for _ in range(min(most, len(self._ready)))]

    def _known(self, came: Sequence[Delivered]) -> list[Delivery]:
        """Those whose types are known, where others are to be ignored; the others are acked."""
        deliveries = [Delivery(each, self) for each in came]
        if not self._ignore_unknown:
            return deliveries
        known = []
        for delivery in deliveries:
            if delivery.is_unknown():
                mark("consumer.unknown_type_ignored")
                self._open().post([delivery.answer(Verdict.ACK)])
            else:
                known.append(delivery)
        return known

    def _open(self) -> MemberLine:
        if self._line is None:
            raise InvalidArgument("enter the member first: `async with consumer.member() as member`")
        if self._has_left:
            raise InvalidArgument(LEFT)
        return self._line


def _untouched(deliveries: Sequence[Delivery]) -> list[Delivery]:
    return [delivery for delivery in deliveries if delivery.is_untouched]


def _id_of(name: str) -> bytes:
    """The id of a member with a name: always the same."""
    data = check_text(name, "a member's name")
    if not data:
        raise InvalidArgument("a member's name has at least 1 byte; found none (leave it out for a member without one)")
    return hashlib.blake2b(data, digest_size=MEMBER_ID_SIZE).digest()
