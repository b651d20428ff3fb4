"""What a face needs for consumer groups, of whatever carries its calls.

Tenants are numbers, consumers are named, `timeout` and `wait` are seconds. Errors are those of `vdb.errors`;
UnknownConsumer where there is no consumer of the name in the group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from vdb.consumers import ConsumerInfo, ConsumerSettings, DeadLetterInfo, Delivered, Settlement
from vdb.types import GroupId, ReadLevel


class MemberCalls(Protocol):
    """The calls of one member of a consumer group, each as it travels."""

    async def fetch(self, maximum: int, wait: float, timeout: float, held: Callable[[], list[int]]) -> list[Delivered]:
        """Up to `maximum` deliveries; none once nothing has come for `wait`. Asked again until it is answered.

        `held`: the positions of what was delivered before and isn't settled yet. After a lost answer it says what else
        is out with this member, and that comes at once.
        """

    async def settle(self, settlements: Sequence[Settlement], timeout: float) -> list[int]:
        """Returns once they are committed: the positions that weren't this member's in this attempt any more."""

    async def leave(self, timeout: float) -> int:
        """Give back what is out; how many deliveries that were."""


class MemberLine(Protocol):
    """A member's way to its consumer group, with what is fetched ahead and settled in the background.

    What was delivered to a caller who had gone is kept for the next one.
    """

    async def fetch(self, maximum: int, wait: float, timeout: float) -> list[Delivered]:
        """Up to `maximum` deliveries; none once nothing has come for `wait`."""

    async def take(self, maximum: int, *, ahead: bool) -> tuple[list[Delivered], float]:
        """At least one delivery, however long that takes, and for how many seconds they have lain here.

        `ahead`: begin with the next ones at once. Goes on over lost links and changes of the primary.
        """

    def post(self, settlements: Sequence[Settlement]) -> None:
        """Settle soon, together with others. What goes wrong is raised by the next call that waits."""

    async def settle(self, settlements: Sequence[Settlement], timeout: float) -> list[int]:
        """Settle now, with all that was posted before; the positions that came too late."""

    async def leave(self, timeout: float) -> int:
        """Settle what was posted, give back the rest. How many deliveries were given back."""


class ConsumerGateway(Protocol):
    async def create(
        self, tenant: int, group: GroupId, name: str, settings: ConsumerSettings, *, timeout: float
    ) -> bool:
        """True if it was created, False if it was there with the same settings. ConsumerExists."""

    async def infos(
        self, tenant: int, group: GroupId | None, name: str, *, level: ReadLevel, timeout: float
    ) -> list[ConsumerInfo]:
        """The consumer of this name, or all (no name) of a group, or of all groups (None)."""

    async def delete(self, tenant: int, group: GroupId, name: str, *, timeout: float) -> bool:
        """False if there was none."""

    async def dead_letters(
        self, tenant: int, group: GroupId, name: str, after: int, maximum: int, *, timeout: float
    ) -> tuple[list[DeadLetterInfo], bool]:
        """Those from a position on, in their order, and whether there are more."""

    async def settle_dead_letters(
        self,
        tenant: int,
        group: GroupId,
        name: str,
        positions: Sequence[int],
        *,
        drop: bool,
        actor: str,
        reason: str,
        timeout: float,
    ) -> int:
        """Deliver them anew, or drop them; all there are where no positions are given. How many that were."""

    def line(self, tenant: int, group: GroupId, name: str, member: bytes, ack_seconds: float) -> MemberLine:
        """The way of one member; an empty id: one of its own. `ack_seconds`: the group's ack deadline."""
