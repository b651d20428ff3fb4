"""The part of the face that makes and finds consumer groups."""

from __future__ import annotations

from collections.abc import Sequence

from vdb.client.consumer import Consumer, Home, check_consumer_name
from vdb.client.consumer_settings import AnyStart, AnyType, Seconds, consumer_settings
from vdb.client.face_base import LINEARIZABLE, FaceBase
from vdb.client.values import check_text
from vdb.consumers import ConsumerInfo
from vdb.errors import InvalidArgument
from vdb.types import GroupId, Position


class ConsumerFace(FaceBase):
    """Consumer groups."""

    async def create_consumer(
        self,
        name: str,
        *,
        prefixes: Sequence[str] = (),
        types: Sequence[AnyType] = (),
        stream: str = "",
        start: AnyStart = "first",
        ack_deadline: Seconds = 30.0,
        max_in_flight: int = 1000,
        max_in_flight_member: int = 0,
        ordered_by: str | None = None,
        max_deliver: int = 5,
        backoff: tuple[Seconds, Seconds] = (1.0, 60.0),
        group: GroupId | str | None = None,
        timeout: float | None = None,
    ) -> Consumer:
        """Create a consumer group, or find it with the same settings (ConsumerExists if they differ).

        Which events: of one `stream`, or of streams whose names begin with one of `prefixes`; of these `types` (classes
        or names). `group` is a region's name or 'global': a consumer reads one; None takes the region of the node.
        `start`: 'first'; 'last', which is behind the last event; an offset of the one stream; a Position; a datetime.

        A delivery that isn't settled within `ack_deadline` is made again, and so is one after a nak, after a pause that
        begins with `backoff[0]` and doubles up to `backoff[1]`. After `max_deliver` deliveries (0: never) it becomes a
        dead letter. `max_in_flight` deliveries are out at most, `max_in_flight_member` (0: no limit) with one member.
        `ordered_by='stream'` or `'subject'`: of the events of one stream, or subject, one at a time, in their order.
        """
        settings = consumer_settings(
            stream=stream,
            prefixes=prefixes,
            types=types,
            start=start,
            ack_deadline=ack_deadline,
            max_in_flight=max_in_flight,
            max_in_flight_member=max_in_flight_member,
            ordered_by=ordered_by,
            max_deliver=max_deliver,
            backoff=backoff,
        )
        if isinstance(start, Position):
            group = start.group if group is None else group
            if str(group) != start.group:
                raise InvalidArgument(f"start: expected a position of group {group}, found {start}")
        consumer = self.consumer(name, group=group)
        place = await consumer.group(timeout)
        await self._gateway.consumers.create(self.tenant, place, name, settings, timeout=self._seconds(timeout))
        return consumer

    def consumer(self, name: str, *, group: GroupId | str | None = None) -> Consumer:
        """A consumer group that is there already. Nothing is asked yet: UnknownConsumer comes with its first call."""
        check_consumer_name(name)
        home = Home(gateway=self._gateway, tenant=self.tenant, seconds=self._seconds, region=self._region_of_node)
        return Consumer(home, name, _group(group))

    async def list_consumers(
        self, *, group: GroupId | str | None = None, timeout: float | None = None
    ) -> list[ConsumerInfo]:
        """The tenant's consumer groups in one group, or in all (None)."""
        return await self._gateway.consumers.infos(
            self.tenant, _group(group), "", level=LINEARIZABLE, timeout=self._seconds(timeout)
        )


def _group(group: GroupId | str | None) -> GroupId | None:
    if group is None:
        return None
    check_text(str(group), "a group's name")
    if not str(group):
        raise InvalidArgument("a group is a region's name or 'global'; found an empty one")
    return GroupId(str(group))
