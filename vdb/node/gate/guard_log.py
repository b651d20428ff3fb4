"""The guard of what is read of streams and of the log.

Rules
- Events are answered once the policy has been asked about each stream that they are of, and, for PHI, once the receipt
  is committed. The receipt takes the place of the quorum's confirmation: a primary that was deposed can't commit it, so
  what was read before was the newest there was.
- Of a read over several streams, what the caller may not read is left out; if that is all, the read is denied.
- Where a broken glass or a consent lets the caller read about some subjects, what is about others is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from attrs import evolve

from vdb.errors import UnknownStream
from vdb.node.gate.answers import LogResult, ReadResult, StreamInfo
from vdb.node.gate.found import Event, Finding
from vdb.node.gate.guard_base import GuardBase
from vdb.node.gate.look import Look
from vdb.node.gate.permit import Permit
from vdb.node.gate.service import LINEARIZABLE, LIST_MAX
from vdb.policy.words import Action
from vdb.selection import EventFilter, EventStart, Selected
from vdb.types import Consistency, DataClass, ReadLevel

PASSES_MAX = 1000
"""Pieces of a log that one read looks through for something that the caller may read."""


class LogGuard(GuardBase):
    """See the module's docstring."""

    async def read(
        self,
        tenant: int,
        stream: str,
        from_offset: int,
        *,
        max_events: int,
        wait_us: int = 0,
        ids_only: bool = False,
        level: ReadLevel = LINEARIZABLE,
    ) -> ReadResult:
        """`Service.read`, with a receipt for PHI."""
        permit = await self._may_read(tenant, stream, "", "read")
        begun = await self._begin(permit, level, tenant, stream)
        finding = Finding(self, tenant, "read")
        ask = partial(self.service.read, tenant, stream, max_events=max_events, wait_us=wait_us, ids_only=ids_only)
        for _ in range(PASSES_MAX):
            result = await ask(from_offset, level=level if begun is None else Consistency.STALE)
            runs = finding.allowed(result.runs)
            if runs or not result.runs or permit.allowed:
                break
            from_offset = result.next_offset
        await self._answerable(finding, permit, result.runs, runs, begun)
        return result if len(runs) == len(result.runs) else evolve(result, runs=tuple(runs))

    async def read_log(
        self,
        tenant: int,
        group: str,
        from_position: int,
        *,
        max_events: int,
        wait_us: int = 0,
        level: ReadLevel = LINEARIZABLE,
    ) -> LogResult:
        """`Service.read_log`, without what the caller may not read, and with receipts for PHI."""
        permit = await self._may_read(tenant, "", group, "readLog")
        begun = await self._begin_phi(permit, level)
        finding = Finding(self, tenant, "readLog")
        ask = partial(self.service.read_log, tenant, group, max_events=max_events, wait_us=wait_us)
        for _ in range(PASSES_MAX):
            result = await ask(from_position, level=level if begun is None else Consistency.STALE)
            runs = finding.allowed(result.runs)
            if runs or not result.runs or permit.allowed:
                break
            from_position = result.next_position
        await self._answerable(finding, permit, result.runs, runs, begun)
        return result if len(runs) == len(result.runs) else evolve(result, runs=tuple(runs))

    async def read_events(
        self,
        tenant: int,
        group: str,
        wanted: EventFilter,
        start: EventStart,
        *,
        backward: bool = False,
        max_events: int,
        wait_us: int = 0,
        level: ReadLevel = LINEARIZABLE,
    ) -> Selected:
        """`Service.read_events`, without what the caller may not read, and with receipts for PHI."""
        permit = await self._may_read(tenant, wanted.stream, group, "readEvents")
        if wanted.stream:
            begun = await self._begin(permit, level, tenant, wanted.stream)
        else:
            begun = await self._begin_phi(permit, level)
        selected = await self.service.read_events(
            tenant,
            group,
            wanted,
            start,
            backward=backward,
            max_events=max_events,
            wait_us=wait_us,
            level=level if begun is None else Consistency.STALE,
        )
        finding = Finding(self, tenant, "readEvents")
        events = finding.allowed(selected.events)
        await self._answerable(finding, permit, selected.events, events, begun)
        return selected if len(events) == len(selected.events) else evolve(selected, events=tuple(events))

    async def get_stream(
        self, tenant: int, name: str, *, group: str = "", level: ReadLevel = LINEARIZABLE
    ) -> StreamInfo:
        """`Service.get_stream`."""
        await self._may_look(tenant, name, group, "getStream")
        info = await self.service.get_stream(tenant, name, group=group, level=level)
        if not self._may_know(tenant, info.name, info.data_class, info.placement):
            decided = self.decide(
                Action.READ, tenant, info.data_class, group=info.placement, stream=name, door="getStream", plain=False
            )
            await self.checked(decided)
        return info

    async def list_streams(
        self, tenant: int, after: str = "", limit: int = LIST_MAX, *, group: str = "", level: ReadLevel = LINEARIZABLE
    ) -> tuple[list[StreamInfo], bool]:
        """`Service.list_streams`, without those that the caller may neither read nor append to.

        One that they may not know of isn't there, also as the one to go on after.
        """
        await self._may_look(tenant, "", group, "listStreams")
        place = self.place(tenant, after, group)
        if place.data_class is not None and not self._may_know(tenant, after, place.data_class, place.group):
            raise UnknownStream(f"tenant {tenant} has no stream '{after}'")
        for _ in range(PASSES_MAX):
            infos, more = await self.service.list_streams(tenant, after, limit, group=group, level=level)
            known = [info for info in infos if self._may_know(tenant, info.name, info.data_class, info.placement)]
            if known or not more:
                break
            after = infos[-1].name
        return known, more

    def _may_know(self, tenant: int, stream: str, data_class: DataClass, group: str) -> bool:
        for action in (Action.READ, Action.APPEND, Action.QUERY, Action.CONSUME):
            permit = self.decide(
                action,
                tenant,
                data_class,
                group=group,
                stream=stream,
                door="listStreams",
                plain=False,
            )
            if permit.allowed or self.permits.allows_some_subject(permit):
                return True
        return False

    async def _may_look(self, tenant: int, stream: str, group: str, door: str) -> None:
        """Whether there may be something that the caller may read, of some subjects perhaps, or append to."""
        permit = self.decide_any((Action.READ, Action.APPEND), tenant, group=group, stream=stream, door=door)
        if not permit.allowed and not self.permits.allows_some_subject(permit):
            await self.checked(permit)

    # Permits and receipts --------------------------------------------------------------------------------------

    async def _may_read(self, tenant: int, stream: str, group: str, door: str) -> Permit:
        """Whether there is something that the caller may read. AccessDenied.

        A permit that is no allowance: what is about some subjects may be.
        """
        if stream:
            permit = self.decide_stream(Action.READ, tenant, stream, group=group, door=door)
        else:
            permit = self.decide_any((Action.READ,), tenant, group=group, door=door)
        if permit.allowed or self.permits.allows_some_subject(permit):
            return permit
        return await self.checked(permit)

    async def _begin(self, permit: Permit, level: ReadLevel, tenant: int, stream: str) -> Look | None:
        """The look whose confirmation the receipt replaces; None where there will be no receipt."""
        if self.place(tenant, stream).data_class is not DataClass.PHI:
            return None
        return await self._begin_phi(permit, level)

    async def _begin_phi(self, permit: Permit, level: ReadLevel) -> Look | None:
        """As `_begin`, for what may be PHI. NotPrimary where this node isn't the primary."""
        if level is not LINEARIZABLE or not self.permits.gives_receipts:
            return None
        return await Look.begin(self.permits.group(permit.group))

    async def _answerable(
        self, finding: Finding, permit: Permit, found: Sequence[Event], allowed: Sequence[Event], look: Look | None
    ) -> None:
        """Returns once what is allowed of what was found may be answered. AccessDenied where nothing is, though the
        permit said so: nobody knew the stream when it was asked for, or it is of another class than was believed."""
        if found and not allowed and permit.allowed:
            await self.checked(finding.decide(found[0]))
        await self._give(finding, allowed, look)

    async def _give(self, finding: Finding, found: Sequence[object], look: Look | None) -> None:
        """Commit the receipts for what is answered. Where nothing is, the quorum confirms."""
        entries = finding.receipts() if found else []
        if entries:
            if look is not None:
                look.still_leads()
            tenant, where = self.permits.log_of(finding.first)
            await self.permits.record(tenant, where, entries)
        elif look is not None:
            await self.service.reach(look.group, LINEARIZABLE)
            look.still_leads()  # the quorum has vouched for the view of now
