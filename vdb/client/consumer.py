"""A consumer group, as its clients see it: its members, how it stands, and its dead letters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from attrs import frozen

from vdb.client.consumer_gateway import MemberLine
from vdb.client.delivery import DeadLetter
from vdb.client.face_base import LINEARIZABLE
from vdb.client.gateway import Gateway
from vdb.client.member import Member
from vdb.client.values import check_number, check_text
from vdb.consumers import ConsumerInfo, DeadLetterInfo
from vdb.errors import InvalidArgument, TooLarge, UnknownConsumer
from vdb.events import RecordedEvent, record_from
from vdb.events.event_context import current_context
from vdb.limits import CONSUMER_NAME_BYTES_MAX, CONSUMER_REASON_BYTES_MAX
from vdb.types import U64_MAX, GroupId, Position

PREFETCH = 100
LETTERS_PER_PAGE = 1000

LETTERS_PER_CALL = 500
"""Dead letters that one call settles, where they are named."""

AnyLetter = DeadLetter | Position | int
"""A dead letter, where it lies, or the number of its position."""


def check_consumer_name(name: str) -> str:
    size = len(check_text(name, "a consumer's name"))
    if not 1 <= size <= CONSUMER_NAME_BYTES_MAX:
        raise InvalidArgument(f"a consumer's name has 1 to {CONSUMER_NAME_BYTES_MAX} bytes; found {size}")
    return name


@frozen(kw_only=True, eq=False)
class Home:
    """The face that a consumer was made by."""

    gateway: Gateway
    tenant: int
    seconds: Callable[[float | None], float]
    """How long a call may take, given its timeout."""
    region: Callable[[float | None], Awaitable[str]]
    """Where the node is, asked for within a timeout."""


class Consumer:
    """Made by `create_consumer` and `consumer`. Holds no connection of its own."""

    def __init__(self, home: Home, name: str, group: GroupId | None) -> None:
        self._home = home
        self._gateway = home.gateway.consumers
        self._group = group
        self.name = check_consumer_name(name)

    async def group(self, timeout: float | None = None) -> GroupId:
        """The group of nodes that holds it: by default the node's region's."""
        if self._group is None:
            self._group = GroupId(await self._home.region(timeout))
        return self._group

    async def info(self, *, timeout: float | None = None) -> ConsumerInfo:
        """What it is and how it stands. UnknownConsumer."""
        group = await self.group(timeout)
        found = await self._gateway.infos(
            self._home.tenant, group, self.name, level=LINEARIZABLE, timeout=self.seconds(timeout)
        )
        if not found:
            raise UnknownConsumer(f"tenant {self._home.tenant} has no consumer '{self.name}' in group {group}")
        return found[0]

    def member(self, name: str | None = None, *, prefetch: int = PREFETCH, ignore_unknown: bool = False) -> Member:
        """A member for `async with`.

        `name`: the same name is the same member after a restart, and gets what it had back at once. `prefetch`: how
        many deliveries iterating may fetch ahead at most; 0: each only when it is asked for. `ignore_unknown`: events
        of types that aren't registered here are acked and passed over.
        """
        return Member(self, name, prefetch=prefetch, ignore_unknown=ignore_unknown)

    async def dead_letters(self, *, timeout: float | None = None) -> list[DeadLetter]:
        """The events that were given up, in the order of their positions. `await letter.recorded()` reads one."""
        group = await self.group(timeout)
        letters: list[DeadLetterInfo] = []
        more = True
        while more:
            after = letters[-1].position + 1 if letters else 0
            page, more = await self._gateway.dead_letters(
                self._home.tenant, group, self.name, after, LETTERS_PER_PAGE, timeout=self.seconds(timeout)
            )
            letters += page
            more = more and bool(page)
        return [
            DeadLetter(
                position=Position(group, letter.position),
                stream=letter.stream,
                offset=letter.offset,
                attempts=letter.attempts,
                time=letter.time,
                reason=letter.reason,
                read=self._read,
            )
            for letter in letters
        ]

    async def _read(self, letter: DeadLetter, ignore_unknown: bool) -> RecordedEvent | None:
        page = await self._home.gateway.read(
            self._home.tenant,
            letter.stream,
            letter.offset,
            max_events=1,
            wait=0.0,
            ids_only=False,
            level=LINEARIZABLE,
            timeout=self.seconds(None),
        )
        event = page.runs[0].events(letter.position.group)[0]
        return record_from(
            event.payload,
            event.schema_id,
            event.stream,
            event.offset,
            event.position,
            event.time,
            event.event_id,
            event.data_class,
            ignore_unknown=ignore_unknown,
        )

    async def replay(
        self,
        positions: Iterable[AnyLetter] | None = None,
        *,
        reason: str = "",
        actor: str | None = None,
        timeout: float | None = None,
    ) -> int:
        """Deliver dead letters anew, from attempt 1: these, or all (None). How many that were.

        Who does so (`actor`; None: the context's) and why is kept in the tenant's stream "$consumers".
        """
        return await self._settle(positions, drop=False, reason=reason, actor=actor, timeout=timeout)

    async def drop(
        self,
        positions: Iterable[AnyLetter] | None = None,
        *,
        reason: str = "",
        actor: str | None = None,
        timeout: float | None = None,
    ) -> int:
        """Forget dead letters for good: these, or all (None). See `replay`. Their events stay in the log."""
        return await self._settle(positions, drop=True, reason=reason, actor=actor, timeout=timeout)

    async def _settle(
        self,
        positions: Iterable[AnyLetter] | None,
        *,
        drop: bool,
        reason: str,
        actor: str | None,
        timeout: float | None,
    ) -> int:
        group = await self.group(timeout)
        call = partial(
            self._gateway.settle_dead_letters,
            self._home.tenant,
            group,
            self.name,
            drop=drop,
            actor=self.actor(actor),
            reason=_checked(reason, "a reason"),
            timeout=self.seconds(timeout),
        )
        count = 0
        if positions is None:
            there = (await self.info(timeout=timeout)).dead_letters
            while count < there and (found := await call([])):  # each takes as many as fit it
                count += found
            return count
        numbers = [_number(each, group) for each in positions]
        for at in range(0, len(numbers), LETTERS_PER_CALL):
            count += await call(numbers[at : at + LETTERS_PER_CALL])
        return count

    async def delete(self, *, timeout: float | None = None) -> bool:
        """Delete the consumer group with its place and its dead letters; False if there was none."""
        group = await self.group(timeout)
        return await self._gateway.delete(self._home.tenant, group, self.name, timeout=self.seconds(timeout))

    def actor(self, given: str | None) -> str:
        """Who acts: as given, or as the context says (`vdb.context`)."""
        return _checked(current_context().actor if given is None else given, "an actor")

    def line(self, member: bytes, ack_seconds: float) -> MemberLine:
        """The way of a member. The group is known by then."""
        assert self._group is not None, "a member asks for the group first"
        return self._gateway.line(self._home.tenant, self._group, self.name, member, ack_seconds)

    def seconds(self, timeout: float | None) -> float:
        """How long a call may take."""
        return self._home.seconds(timeout)

    def __repr__(self) -> str:
        return f"Consumer({self.name!r})"


def _checked(text: str, what: str) -> str:
    size = len(check_text(text, what))
    if size > CONSUMER_REASON_BYTES_MAX:
        raise TooLarge(f"{what} has at most {CONSUMER_REASON_BYTES_MAX} bytes; found {size}")
    return text


def _number(letter: AnyLetter, group: GroupId) -> int:
    if isinstance(letter, int) and not isinstance(letter, bool):
        return check_number(letter, U64_MAX, "the number of a position")
    position = letter.position if isinstance(letter, DeadLetter) else letter
    if not isinstance(position, Position):
        raise InvalidArgument(f"a dead letter is named by its position; found {type(letter).__name__}")
    if position.group != group:
        raise InvalidArgument(f"the consumer lies in group {group}: expected a position of it, found {position}")
    return position.number
