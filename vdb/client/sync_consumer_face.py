"""The part of the blocking face that makes and finds consumer groups."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from vdb.client.consumer_settings import AnyStart, AnyType, Seconds
from vdb.client.sync_base import SyncBase
from vdb.client.sync_consumer import SyncConsumer
from vdb.consumers import ConsumerInfo
from vdb.types import GroupId


class SyncConsumerFace(SyncBase):
    """Consumer groups."""

    def create_consumer(
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
    ) -> SyncConsumer:
        """Create a consumer group, or find it with the same settings. See `AsyncFace.create_consumer`."""
        consumer = self._run(
            partial(
                self._face.create_consumer,
                name,
                prefixes=prefixes,
                types=types,
                stream=stream,
                start=start,
                ack_deadline=ack_deadline,
                max_in_flight=max_in_flight,
                max_in_flight_member=max_in_flight_member,
                ordered_by=ordered_by,
                max_deliver=max_deliver,
                backoff=backoff,
                group=group,
                timeout=timeout,
            )
        )
        return SyncConsumer(consumer, self._loop)

    def consumer(self, name: str, *, group: GroupId | str | None = None) -> SyncConsumer:
        """A consumer group that is there already. Nothing is asked yet: UnknownConsumer comes with its first call."""
        return SyncConsumer(self._face.consumer(name, group=group), self._loop)

    def list_consumers(self, *, group: GroupId | str | None = None, timeout: float | None = None) -> list[ConsumerInfo]:
        """The tenant's consumer groups in one group, or in all (None)."""
        return self._run(partial(self._face.list_consumers, group=group, timeout=timeout))
