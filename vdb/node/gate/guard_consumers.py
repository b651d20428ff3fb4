"""The guard of consumer groups. What is delivered was read: PHI has a receipt before it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TypeVar

from vdb.audit.entry import Kind
from vdb.consumers import ConsumerInfo, ConsumerSettings, DeadLetterInfo, Delivered, Settlement
from vdb.errors import AccessDenied
from vdb.kernel.command import Origin
from vdb.node.consumers.consumer_gate import OnAnswer
from vdb.node.gate.found import subject_of
from vdb.node.gate.guard_base import GuardBase
from vdb.node.gate.permit import Permit, named_subjects
from vdb.node.gate.service import LINEARIZABLE, answered
from vdb.node.gate.writes import Failure
from vdb.policy.decide import DEFAULT
from vdb.policy.words import Action
from vdb.selection import EventFilter
from vdb.types import GLOBAL_GROUP, DataClass, ReadLevel

T = TypeVar("T")


class GuardedConsumers:
    """Mirrors `vdb.node.consumers.consuming.Consumers`."""

    def __init__(self, guard: GuardBase) -> None:
        self._guard = guard
        self._inner = guard.service.consumers

    def _decide(self, action: Action, tenant: int, group: str, name: str, door: str) -> Permit:
        """A consumer in a region's group may deliver PHI; one in the global group never does."""
        data_class = DataClass.NON_PHI if group == GLOBAL_GROUP else DataClass.PHI
        return self._guard.decide(action, tenant, data_class, group=group, stream=name, door=door)

    async def _permit(self, action: Action, tenant: int, group: str, name: str, door: str) -> Permit:
        return await self._guard.checked(self._decide(action, tenant, group, name, door))

    # Groups ----------------------------------------------------------------------------------------------------

    async def create(self, origin: Origin, tenant: int, group: str, name: str, settings: ConsumerSettings) -> bool:
        origin = await self._guard.owners.claimed(origin, tenant, "consumerCreate")
        permit = await self._permit(Action.CREATE, tenant, group, name, "consumerCreate")
        await self._may_deliver(tenant, group, settings.filter)
        await self._guard.acted(permit, Kind.ADMIN)
        return await self._inner.create(origin, tenant, group, name, settings)

    async def _may_deliver(self, tenant: int, group: str, meant: EventFilter) -> None:
        """Who makes a consumer may read, or consume from, all that it delivers: else its filter would be a way around
        what rules say of streams. AccessDenied."""
        for stream in (meant.stream,) if meant.stream else tuple(f"{prefix}*" for prefix in meant.prefixes or ("",)):
            read, consume = (
                self._decide(action, tenant, group, stream, "consumerCreate")
                for action in (Action.READ, Action.CONSUME)
            )
            if not consume.allowed:
                await self._guard.checked(read)

    async def infos(self, tenant: int, group: str, name: str, *, level: ReadLevel = LINEARIZABLE) -> list[ConsumerInfo]:
        """`Consumers.infos`, without those that the caller may not consume from: filters name streams."""
        if name:
            await self._permit(Action.CONSUME, tenant, group, name, "consumerList")
            return await self._inner.infos(tenant, group, name, level=level)
        await self._guard.permit_any((Action.CONSUME,), tenant, group=group, door="consumerList")
        found = await self._inner.infos(tenant, group, name, level=level)
        return [one for one in found if self._decide(Action.CONSUME, tenant, group, one.name, "consumerList").allowed]

    async def delete(self, origin: Origin, tenant: int, group: str, name: str) -> bool:
        origin = await self._guard.owners.claimed(origin, tenant, "consumerDelete")
        permit = await self._permit(Action.CREATE, tenant, group, name, "consumerDelete")
        await self._guard.acted(permit, Kind.ADMIN)
        return await self._inner.delete(origin, tenant, group, name)

    # Members ---------------------------------------------------------------------------------------------------

    async def fetch(
        self,
        tenant: int,
        group: str,
        name: str,
        member: bytes,
        maximum: int,
        wait_us: int = 0,
        held: Sequence[int] | None = None,
    ) -> list[Delivered]:
        """`Consumers.fetch`. Whoever may consume from this consumer gets what its filter lets through.

        But what a rule denies them to read, or masks, isn't delivered either: the fetch is denied. What holds when
        something is there counts: a fetch may have waited for long.
        """
        await self._permit(Action.CONSUME, tenant, group, name, "consumerFetch")
        found = await self._inner.fetch(tenant, group, name, member, maximum, wait_us, held)
        permit = await self._permit(Action.CONSUME, tenant, group, name, "consumerFetch")
        for stream, data_class in dict.fromkeys((one.event.stream, one.event.data_class) for one in found):
            read = self._guard.decide(Action.READ, tenant, data_class, group=group, stream=stream, door="consumerFetch")
            if not read.allowed and read.decision.rule != DEFAULT:
                await self._guard.checked(read)
        await self._receipt(permit, found, name)
        return found

    async def _receipt(self, permit: Permit, found: Sequence[Delivered], name: str) -> None:
        permits, settings = self._guard.permits, self._guard.permits.settings
        events = [one.event for one in found]
        if not settings.audit_non_phi_reads:
            events = [event for event in events if event.data_class is DataClass.PHI]
        if not events or not permits.gives_receipts:
            return
        digest = sha256()
        for event in events:
            digest.update(event.payload)
        at = permits.group(permit.group)
        entry = permit.entry(
            Kind.READ,
            object=name,
            subjects=named_subjects(subject_of(event.subject_token) for event in events),
            count=len(events),
            digest=digest.hexdigest(),
            view=at.replica.view,
            position=str(events[-1].position),
            detail={"streams": " ".join(dict.fromkeys(event.stream for event in events))},
        )
        await self._guard.record(permit, entry)

    def settle_soon(
        self,
        origin: Origin,
        tenant: int,
        group: str,
        name: str,
        member: bytes,
        settlements: Sequence[Settlement],
        on_answer: OnAnswer[list[int]],
    ) -> None:
        claimed = self._guard.owners.claim(origin, tenant, "consumerSettle", on_answer)
        if claimed is None:
            return
        origin = claimed
        self._write(
            self._decide(Action.CONSUME, tenant, group, name, "consumerSettle"),
            origin,
            lambda: self._inner.settle_soon(origin, tenant, group, name, member, settlements, on_answer),
            on_answer,
        )

    async def settle(
        self, origin: Origin, tenant: int, group: str, name: str, member: bytes, settlements: Sequence[Settlement]
    ) -> list[int]:
        return await answered(
            lambda on_answer: self.settle_soon(origin, tenant, group, name, member, settlements, on_answer)
        )

    def leave_soon(
        self, origin: Origin, tenant: int, group: str, name: str, member: bytes, on_answer: OnAnswer[int]
    ) -> None:
        claimed = self._guard.owners.claim(origin, tenant, "consumerLeave", on_answer)
        if claimed is None:
            return
        origin = claimed
        self._write(
            self._decide(Action.CONSUME, tenant, group, name, "consumerLeave"),
            origin,
            lambda: self._inner.leave_soon(origin, tenant, group, name, member, on_answer),
            on_answer,
        )

    async def leave(self, origin: Origin, tenant: int, group: str, name: str, member: bytes) -> int:
        return await answered(lambda on_answer: self.leave_soon(origin, tenant, group, name, member, on_answer))

    # Dead letters ----------------------------------------------------------------------------------------------

    async def dead_letters(
        self, tenant: int, group: str, name: str, after: int, maximum: int
    ) -> tuple[list[DeadLetterInfo], bool]:
        """`Consumers.dead_letters`, with a receipt: streams may be named after somebody, and so may reasons."""
        permit = await self._permit(Action.CONSUME, tenant, group, name, "deadLetters")
        letters, more = await self._inner.dead_letters(tenant, group, name, after, maximum)
        if letters and self._guard.permits.gives_receipts and permit.request.data_class is DataClass.PHI:
            streams = " ".join(dict.fromkeys(letter.stream for letter in letters))
            entry = permit.entry(Kind.READ, subjects=("*",), count=len(letters), detail={"streams": streams})
            await self._guard.record(permit, entry)
        return letters, more

    def settle_dead_letters_soon(
        self,
        origin: Origin,
        tenant: int,
        group: str,
        name: str,
        positions: Sequence[int],
        drop: bool,
        actor: str,
        reason: str,
        on_answer: OnAnswer[int],
    ) -> None:
        claimed = self._guard.owners.claim(origin, tenant, "deadLettersSettle", on_answer)
        if claimed is None:
            return
        origin = claimed
        permit = self._decide(Action.CONSUME, tenant, group, name, "deadLettersSettle")

        def settle() -> None:
            self._inner.settle_dead_letters_soon(origin, tenant, group, name, positions, drop, actor, reason, on_answer)

        self._write(permit, origin, settle, on_answer)

    async def settle_dead_letters(
        self,
        origin: Origin,
        tenant: int,
        group: str,
        name: str,
        positions: Sequence[int],
        drop: bool,
        actor: str,
        reason: str,
    ) -> int:
        return await answered(
            lambda on_answer: self.settle_dead_letters_soon(
                origin, tenant, group, name, positions, drop, actor, reason, on_answer
            )
        )

    def _write(self, permit: Permit, origin: Origin, write: Callable[[], None], on_answer: OnAnswer[T]) -> None:
        if permit.allowed:
            write()
            return

        def refuse(error: AccessDenied, on_refused: Callable[[T | Failure], None]) -> None:
            self._guard.service.writes.refuse(origin, error, lambda _group, _reply: error, on_refused)

        self._guard.refuse_write(permit, refuse, on_answer)
