"""Consumer groups for programs without an event loop: the same methods as in `consumer`, blocking. Thread-safe.

with consumer.member() as member:
    for delivery in member:
        send(delivery.event)
        delivery.ack()
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any

from vdb.client.consumer import PREFETCH, AnyLetter, Consumer
from vdb.client.consumer_settings import Seconds
from vdb.client.delivery import DeadLetter, Delivery
from vdb.client.member import Member
from vdb.client.sync_base import Loop
from vdb.consumers import ConsumerInfo
from vdb.events import RecordedEvent
from vdb.types import GroupId, Position


class SyncDelivery:
    """See `Delivery`."""

    __slots__ = ("_loop", "inner")

    def __init__(self, inner: Delivery, loop: Loop) -> None:
        self.inner = inner
        self._loop = loop

    @property
    def recorded(self) -> RecordedEvent:
        return self.inner.recorded

    @property
    def event(self) -> Any:
        return self.inner.event

    @property
    def attempt(self) -> int:
        return self.inner.attempt

    @property
    def deadline(self) -> int:
        return self.inner.deadline

    @property
    def position(self) -> Position:
        return self.inner.position

    @property
    def stream(self) -> str:
        return self.inner.stream

    @property
    def offset(self) -> int:
        return self.inner.offset

    def ack(self, confirm: bool = False, *, timeout: float | None = None) -> None:
        """It is done, and isn't delivered again."""
        if confirm:
            self._loop.run(partial(self.inner.ack, confirm, timeout=timeout))
        else:
            self._loop.post(self.inner.ack_soon())

    def nak(self, delay: Seconds | None = None, *, confirm: bool = False, timeout: float | None = None) -> None:
        """It didn't work out: deliver it again after `delay`, or after the group's back-off."""
        self._loop.run(partial(self.inner.nak, delay, confirm=confirm, timeout=timeout))

    def term(self, reason: str, *, confirm: bool = False, timeout: float | None = None) -> None:
        """It never will work out: it becomes a dead letter, for this reason."""
        self._loop.run(partial(self.inner.term, reason, confirm=confirm, timeout=timeout))

    def extend(self, seconds: Seconds | None = None, *, timeout: float | None = None) -> None:
        """It takes longer: the deadline is so far from now, or as far as the group's. Confirmed; DeliveryLate."""
        self._loop.run(partial(self.inner.extend, seconds, timeout=timeout))

    def __repr__(self) -> str:
        return repr(self.inner)


class SyncMember:
    """For `with`, once. See `Member`.

    What a fetch brought for iterating is handed out here, without a way into the loop for each, as long as it is fresh.
    """

    def __init__(self, inner: Member, loop: Loop) -> None:
        self._inner = inner
        self._loop = loop
        self._ready: deque[Delivery] = deque()
        """What is handed out next. Only single steps on it: threads may share a member."""
        self._fresh_until_ns = 0

    def __enter__(self) -> SyncMember:
        self._loop.run(self._inner.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        async def leave() -> None:
            self._inner.put_back(self._ready)
            await self._inner.__aexit__(kind, error, traceback)

        self._loop.run(leave)

    def fetch(self, max: int = 100, wait: Seconds = 5.0, *, timeout: float | None = None) -> list[SyncDelivery]:
        """Up to `max` deliveries; an empty list once nothing has come for `wait` seconds."""

        async def fetch() -> list[Delivery]:
            self._inner.put_back(self._ready)
            return await self._inner.fetch(max, wait, timeout=timeout)

        return [SyncDelivery(each, self._loop) for each in self._loop.run(fetch)]

    def ack(self, deliveries: Sequence[SyncDelivery], confirm: bool = False, *, timeout: float | None = None) -> None:
        """`SyncDelivery.ack` for several at once."""
        self._loop.run(partial(self._inner.ack, [each.inner for each in deliveries], confirm, timeout=timeout))

    def __iter__(self) -> SyncMember:
        return self

    def __next__(self) -> SyncDelivery:
        """The next delivery, however long that takes."""
        clock = self._loop.clock
        if clock is not None and clock.monotonic_ns() < self._fresh_until_ns:
            with suppress(IndexError):
                return SyncDelivery(self._ready.popleft(), self._loop)
        return SyncDelivery(self._loop.run(self._next), self._loop)

    async def _next(self) -> Delivery:
        """The next one by the member's own rules, and what is fresh with it."""
        self._inner.put_back(self._ready)
        delivery = await self._inner.__anext__()
        clock = self._loop.clock
        if clock is not None:
            self._fresh_until_ns = clock.monotonic_ns() + int(self._inner.take_fresh(self._ready) * 1e9)
        return delivery


class SyncDeadLetter:
    """See `DeadLetter`."""

    def __init__(self, inner: DeadLetter, loop: Loop) -> None:
        self.inner = inner
        self._loop = loop
        self.position = inner.position
        self.stream = inner.stream
        self.offset = inner.offset
        self.attempts = inner.attempts
        self.time = inner.time
        self.reason = inner.reason

    def recorded(self, *, ignore_unknown: bool = False) -> RecordedEvent | None:
        """The event, read from the log and decoded; None for an unknown type, where these are to be ignored."""
        return self._loop.run(partial(self.inner.recorded, ignore_unknown=ignore_unknown))

    def __repr__(self) -> str:
        return repr(self.inner)


SyncAnyLetter = SyncDeadLetter | AnyLetter


class SyncConsumer:
    """See `Consumer`."""

    def __init__(self, inner: Consumer, loop: Loop) -> None:
        self._inner = inner
        self._loop = loop
        self.name = inner.name

    def group(self, timeout: float | None = None) -> GroupId:
        """The group of nodes that holds it."""
        return self._loop.run(partial(self._inner.group, timeout))

    def info(self, *, timeout: float | None = None) -> ConsumerInfo:
        """What it is and how it stands. UnknownConsumer."""
        return self._loop.run(partial(self._inner.info, timeout=timeout))

    def member(self, name: str | None = None, *, prefetch: int = PREFETCH, ignore_unknown: bool = False) -> SyncMember:
        """A member for `with`. See `Consumer.member`."""
        return SyncMember(self._inner.member(name, prefetch=prefetch, ignore_unknown=ignore_unknown), self._loop)

    def dead_letters(self, *, timeout: float | None = None) -> list[SyncDeadLetter]:
        """The events that were given up, in the order of their positions."""
        letters = self._loop.run(partial(self._inner.dead_letters, timeout=timeout))
        return [SyncDeadLetter(letter, self._loop) for letter in letters]

    def replay(
        self,
        positions: Iterable[SyncAnyLetter] | None = None,
        *,
        reason: str = "",
        actor: str | None = None,
        timeout: float | None = None,
    ) -> int:
        """Deliver dead letters anew, from attempt 1. See `Consumer.replay`."""
        letters = _plain(positions)
        who = self._inner.actor(actor)
        return self._loop.run(partial(self._inner.replay, letters, reason=reason, actor=who, timeout=timeout))

    def drop(
        self,
        positions: Iterable[SyncAnyLetter] | None = None,
        *,
        reason: str = "",
        actor: str | None = None,
        timeout: float | None = None,
    ) -> int:
        """Forget dead letters for good. See `Consumer.drop`."""
        letters = _plain(positions)
        who = self._inner.actor(actor)
        return self._loop.run(partial(self._inner.drop, letters, reason=reason, actor=who, timeout=timeout))

    def delete(self, *, timeout: float | None = None) -> bool:
        """Delete the consumer group with its place and its dead letters; False if there was none."""
        return self._loop.run(partial(self._inner.delete, timeout=timeout))

    def __repr__(self) -> str:
        return f"SyncConsumer({self.name!r})"


def _plain(positions: Iterable[SyncAnyLetter] | None) -> list[AnyLetter] | None:
    if positions is None:
        return None
    return [each.inner if isinstance(each, SyncDeadLetter) else each for each in positions]
