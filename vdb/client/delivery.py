"""What a member gets of its consumer group: deliveries to settle, and dead letters to look at.

The event in either is decoded when it is asked for, upcast to its newest version like any other. One that can't be
decoded raises then, and only then: the delivery can still be settled, and if it isn't, it comes again, to whomever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol

from attrs import field, frozen

from vdb.client.consumer_settings import Seconds, duration_us
from vdb.client.values import check_text
from vdb.consumers import Delivered, Settlement, Verdict
from vdb.errors import InvalidArgument, InvalidEvent, TooLarge, UnknownEventType, WireError
from vdb.events import RecordedEvent, record_from
from vdb.limits import CONSUMER_REASON_BYTES_MAX
from vdb.selection import EventRecord
from vdb.types import Position

OWN_BACKOFF = -1
"""Of a nak: the group's back-off."""

_HINT = "settle it, or leave it to a member that can decode it"
_UNKNOWN_HINT = "settle it, register its type, or open the member with ignore_unknown=True"


class Settler(Protocol):
    """What settles deliveries: their member."""

    def check(self) -> None:
        """InvalidArgument where nothing can be settled any more. From any thread."""

    def post(self, settlements: Sequence[Settlement]) -> None: ...

    async def settle(self, settlements: Sequence[Settlement], *, confirm: bool, timeout: float | None) -> None: ...


class Delivery:
    """An event that was handed to a member, until it is settled or its deadline passes.

    `ack`, `nak` and `term` are sent in the background, together with others; with `confirm` they return once they are
    committed, and raise DeliveryLate where they came too late. A delivery is settled once: InvalidArgument after that.
    """

    __slots__ = ("_answer", "_delivered", "_recorded", "_seen", "_settler")

    def __init__(self, delivered: Delivered, settler: Settler) -> None:
        self._delivered = delivered
        self._settler = settler
        self._recorded: RecordedEvent | None = None
        self._answer = ""
        """How it was settled; empty: it wasn't."""
        self._seen = False

    @property
    def recorded(self) -> RecordedEvent:
        """The event with all that the log says about it.

        UnknownEventType, InvalidEvent, WireError: it can't be decoded here. Settle it all the same, or leave it to a
        member that knows its type.
        """
        self._seen = True
        found = self._decode(ignore_unknown=False)
        assert found is not None, "an unknown type has raised"
        return found

    def is_unknown(self) -> bool:
        """Whether the event is of a type that isn't registered here. What else is wrong with it, `recorded` says."""
        try:
            return self._decode(ignore_unknown=True) is None
        except (InvalidEvent, WireError):
            return False

    def _decode(self, *, ignore_unknown: bool) -> RecordedEvent | None:
        if self._recorded is not None:
            return self._recorded
        record = self._delivered.event
        try:
            self._recorded = record_from(
                record.payload,
                record.schema_id,
                record.stream,
                record.offset,
                record.position,
                record.time,
                record.event_id,
                record.data_class,
                ignore_unknown=ignore_unknown,
            )
        except (UnknownEventType, InvalidEvent, WireError) as error:
            hint = _UNKNOWN_HINT if isinstance(error, UnknownEventType) else _HINT
            what = f"the delivery at {self.position} (attempt {self.attempt})"
            raise type(error)(f"{what} can't be decoded: {error}; it isn't lost: {hint}") from None
        return self._recorded

    @property
    def event(self) -> Any:
        """The event: an instance of its registered class, or the bytes of an opaque payload. See `recorded`."""
        return self.recorded.event

    @property
    def record(self) -> EventRecord:
        """The event as the node sent it, its payload still encoded."""
        self._seen = True
        return self._delivered.event

    @property
    def attempt(self) -> int:
        """From 1."""
        return self._delivered.attempt

    @property
    def deadline(self) -> int:
        """When it is delivered again, unless it is settled or extended before: microseconds UTC of the log's clock."""
        return self._delivered.deadline

    @property
    def position(self) -> Position:
        return self._delivered.event.position

    @property
    def stream(self) -> str:
        self._seen = True
        return self._delivered.event.stream

    @property
    def offset(self) -> int:
        self._seen = True
        return self._delivered.event.offset

    @property
    def is_untouched(self) -> bool:
        """Whether nobody has settled or extended it, or looked at its event, stream or offset."""
        return not self._seen and not self._answer

    async def ack(self, confirm: bool = False, *, timeout: float | None = None) -> None:
        """It is done, and isn't delivered again."""
        await self._settler.settle([self.answer(Verdict.ACK)], confirm=confirm, timeout=timeout)

    def ack_soon(self) -> Callable[[], None]:
        """Counts as acked from now on; what is returned, called in the member's loop, has it sent."""
        return partial(self._settler.post, [self.answer(Verdict.ACK)])

    async def nak(self, delay: Seconds | None = None, *, confirm: bool = False, timeout: float | None = None) -> None:
        """It didn't work out: deliver it again after `delay`, or after the group's back-off."""
        delay_us = OWN_BACKOFF if delay is None else duration_us(delay, "delay")
        await self._settler.settle([self.answer(Verdict.NAK, delay_us)], confirm=confirm, timeout=timeout)

    async def term(self, reason: str, *, confirm: bool = False, timeout: float | None = None) -> None:
        """It never will work out: it becomes a dead letter, for this reason."""
        size = len(check_text(reason, "the reason of a dead letter"))
        if size > CONSUMER_REASON_BYTES_MAX:
            raise TooLarge(f"the reason of a dead letter has at most {CONSUMER_REASON_BYTES_MAX} bytes; found {size}")
        await self._settler.settle([self.answer(Verdict.TERM, reason=reason)], confirm=confirm, timeout=timeout)

    async def extend(self, seconds: Seconds | None = None, *, timeout: float | None = None) -> None:
        """It takes longer: the deadline is so far from now, or as far as the group's. Confirmed; DeliveryLate."""
        delay_us = 0 if seconds is None else duration_us(seconds, "seconds")
        if seconds is not None and not delay_us:
            raise InvalidArgument("seconds: expected more than 0, found 0")
        await self._settler.settle([self.answer(Verdict.EXTEND, delay_us)], confirm=True, timeout=timeout)

    def answer(self, verdict: Verdict, delay_us: int = 0, reason: str = "") -> Settlement:
        """What is sent to settle it this way; it counts as settled from now on, unless it is extended."""
        self._settler.check()
        if self._answer:
            raise InvalidArgument(
                f"the delivery at {self.position} (attempt {self.attempt}) was settled already, by {self._answer}"
            )
        if verdict is not Verdict.EXTEND:
            self._answer = verdict.value
        self._seen = True
        return Settlement(
            position=self.position.number, attempt=self.attempt, verdict=verdict, delay_us=delay_us, reason=reason
        )

    def __repr__(self) -> str:
        return f"Delivery(position={str(self.position)!r}, attempt={self.attempt}, settled={self._answer!r})"


ReadLetter = Callable[["DeadLetter", bool], Awaitable[RecordedEvent | None]]


@frozen(kw_only=True)
class DeadLetter:
    """An event that a consumer group gave up. It lies in the log, as any other."""

    position: Position
    stream: str = field(repr=False)
    offset: int
    attempts: int
    """Deliveries that were made."""
    time: int
    """When it was given up, microseconds UTC."""
    reason: str = field(repr=False)
    """What the member said who gave it up; empty where deliveries ran out."""
    _read: ReadLetter = field(repr=False, eq=False, alias="read")

    async def recorded(self, *, ignore_unknown: bool = False) -> RecordedEvent | None:
        """The event, read from the log and decoded; None for an unknown type, where these are to be ignored.

        UnknownEventType, InvalidEvent.
        """
        return await self._read(self, ignore_unknown)
