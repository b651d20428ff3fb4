"""Fetching: what a member gets of its consumer group, and how it waits for it.

Rules
- A fetch looks at the log, behind the group's cursor, and at what falls due; it is proposed only when it would hand
  something out, give something up, keep what is held back, or move the cursor far. Else it waits: for appends, answers
  of members and deadlines.
- An answer is bounded in bytes: a fetch hands out fewer, rather than more than a read would return.
- A member whose answer was lost is told once more what is out with it, apart from what it knows of: nothing is done.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from vdb.consumers import MEMBER_ID_SIZE, Delivered
from vdb.errors import InvalidArgument
from vdb.kernel.command import INTERNAL
from vdb.kernel.consumer_rows import ConsumerRow, Work
from vdb.kernel.consumer_rules import HELD_MAX, Choice, choose, next_due
from vdb.kernel.reply import ConsumerFetched
from vdb.limits import DELIVERIES_PER_FETCH_MAX
from vdb.marks import mark
from vdb.node.consumers.consumer_gate import ConsumerGate, Place, failure
from vdb.node.consumers.consumer_request import CANDIDATE_SIZE, PlainConsumerFetch
from vdb.node.consumers.consumer_sealing import open_sealed, read_settings
from vdb.node.consumers.consumer_window import LogWindow
from vdb.node.gate.service import WAIT_US_MAX, Service
from vdb.node.preparing.cutting import REQUEST_OVERHEAD
from vdb.node.replication.group import Group
from vdb.rare import rare
from vdb.selection import EventRecord
from vdb.types import GroupId, TenantId

ADVANCE = 10_000
"""Positions without an event that fits after which the cursor is moved: a new primary begins to look there."""
LOOK_SECONDS = 1.0
"""Who waits looks as often whether this node still leads."""
WINDOWS_MAX = 1000
"""Consumer groups whose window is kept."""
_OVERHEAD = 2 * REQUEST_OVERHEAD


class ConsumerFetching(ConsumerGate):
    """See the module's docstring."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._windows: dict[tuple[GroupId, TenantId, bytes], LogWindow] = {}

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
        """Up to `maximum` deliveries; none once nothing has come for so long. UnknownConsumer, NotPrimary.

        `held`: an answer to this member was lost, and these are the positions that it knows of.
        """
        if len(member) != MEMBER_ID_SIZE:
            raise InvalidArgument(f"a member's id has {MEMBER_ID_SIZE} bytes; found {len(member)}")
        count_max = 1 if rare("consumer.one_delivery") else max(1, min(maximum, DELIVERIES_PER_FETCH_MAX))
        deadline = trio.current_time() + min(wait_us, WAIT_US_MAX) / 1e6
        if held is not None:
            # A primary that was deposed and hasn't heard of it would tell what was settled elsewhere meanwhile.
            found = await self.know(tenant, group, name, sure=True)
            missed = await self._missed(found, member, held, count_max)
            if missed:
                return missed
        while True:
            found = await self.know(tenant, group, name)
            changed = found.group.signals.next_of_consumer(found.tenant, found.lookup)
            deliveries, go_on, pause = await self._hand_out(found, member, count_max)
            left = deadline - trio.current_time()
            if deliveries or (left <= 0 and not go_on):
                return deliveries
            if not go_on:
                with trio.move_on_after(min(left, pause, LOOK_SECONDS)):
                    await changed.wait()

    async def _missed(self, found: Place, member: bytes, held: Sequence[int], count_max: int) -> list[Delivered]:
        """What is out with a member, and it doesn't know of: as it was delivered, as far as it fits an answer."""
        row = found.row
        if row is None:
            return []
        window, now = self._window(found, row), found.group.time_us
        known = dict.fromkeys(held)
        entries = found.group.state.work(found.tenant, found.lookup).entries
        out = [entry for entry in entries if entry[3] == member and entry[1] > now and entry[0] not in known]
        missed: list[Delivered] = []
        size = 0
        for position, due, attempt, _, _ in out[:count_max]:
            event = window.event(position) or await window.read_back(position)
            size += len(event.payload)
            if missed and size > found.group.limits.read_bytes_max:
                break
            mark("consumer.told_again")
            missed.append(Delivered(event=event, attempt=attempt, deadline=due))
        return missed

    async def _hand_out(self, found: Place, member: bytes, count_max: int) -> tuple[list[Delivered], bool, float]:
        """Deliveries; whether there may be more to see at once; and seconds until something falls due."""
        row = found.row
        if row is None:
            return [], True, 0.0
        window, group = self._window(found, row), found.group
        # What is on its way counts: others that fetch have what it hands out. So the look begins there, too: from an
        # older cursor enough would be seen that is none of it, and then there would be more to look at for ever.
        if group.prepared.consumer(found.tenant, found.lookup) is None:
            return [], False, LOOK_SECONDS
        await window.look_ahead(group.prepared.work(found.tenant, found.lookup).cursor, count_max)
        state = group.prepared
        row = state.consumer(found.tenant, found.lookup)
        if row is None or row.created_at != window.created_at:
            return [], False, LOOK_SECONDS
        work = state.work(found.tenant, found.lookup)
        now = group.time_us
        candidates_max = _candidates_max(group, count_max + HELD_MAX if row.terms.ordered_by else count_max)
        seen = window.look(work.cursor, candidates_max)
        if seen is None:
            return [], True, 0.0
        candidates, end = seen
        chosen = choose(row.terms, work, now, member, count_max, end, candidates)
        if not _worth(work, chosen):
            due = next_due(work, now)
            pause = LOOK_SECONDS if due is None else (due - now) / 1e6
            # What was seen and finds no room now would find none at once: then there is nothing to go on for.
            short = len(candidates) < min(count_max, candidates_max)
            return [], short and window.end < group.state.next_position, max(pause, 0.001)
        events, fit = await self._events(window, chosen, group.limits.read_bytes_max)
        request = PlainConsumerFetch(
            tenant=found.tenant,
            name=found.name,
            member=member,
            count_max=min(count_max, fit) if fit else count_max,
            candidates_max=candidates_max,
            window=window,
        )
        reply = await group.execute(request, INTERNAL)
        if not isinstance(reply, ConsumerFetched):
            raise failure(reply, found.name)
        deliveries = []
        for position, attempt in reply.deliveries:
            event = events.get(position) or await window.read_back(position)
            deliveries.append(Delivered(event=event, attempt=attempt, deadline=reply.deadline))
        return deliveries, True, 0.0

    async def _events(self, window: LogWindow, chosen: Choice, bytes_max: int) -> tuple[dict[int, EventRecord], int]:
        """The events that would be handed out, and how many of them fit an answer: one at least, if there is one."""
        events: dict[int, EventRecord] = {}
        size = 0
        for position, _ in chosen.deliveries:
            event = window.event(position) or await window.read_back(position)
            size += len(event.payload)
            if events and size > bytes_max:
                mark("consumer.fewer_fit")
                break
            events[position] = event
        return events, len(events)

    def _window(self, found: Place, row: ConsumerRow) -> LogWindow:
        key = (found.group.name, found.tenant, found.lookup)
        window = self._windows.pop(key, None)
        if window is None or window.created_at != row.created_at:
            _, settings = read_settings(open_sealed(found.group.keyring, row.sealed), row.terms)
            window = LogWindow(found.reader, found.tenant, settings, row.created_at)
        self._windows[key] = window
        if len(self._windows) > WINDOWS_MAX:
            del self._windows[next(iter(self._windows))]
        return window


def _candidates_max(group: Group, wanted: int) -> int:
    """As many as a fetch may need, and a prepare can hold."""
    room = (group.limits.request_size_max - _OVERHEAD) // CANDIDATE_SIZE
    return max(1, min(room, wanted))


def _worth(work: Work, chosen: Choice) -> bool:
    """Whether a fetch that does this is to be proposed."""
    if chosen.deliveries or chosen.letters:
        return True
    return len(chosen.work.entries) > len(work.entries) or chosen.work.cursor - work.cursor >= ADVANCE
