"""Wakes those who wait for new events of a tenant: followers, long reads, projections; and for commits at all."""

from __future__ import annotations

from collections.abc import Callable

import trio

from vdb.types import StreamId, TenantId


class Signals:
    """One signal a tenant, made when somebody first waits, and one callback for all of them."""

    def __init__(self) -> None:
        self._tenants: dict[TenantId, trio.Event] = {}
        self._consumers: dict[TenantId, dict[bytes, trio.Event]] = {}
        self.on_notify: Callable[[TenantId], None] | None = None
        """Called at each notification, synchronously; it must not wait."""

        self.on_first: Callable[[TenantId, StreamId, bytes], None] | None = None
        """Called when a stream gets its first events, with their sealed record; as `on_notify` is."""

    def first(self, tenant: TenantId, stream: StreamId, record: bytes) -> None:
        """A stream isn't empty any more."""
        if self.on_first is not None:
            self.on_first(tenant, stream, record)

    def notify(self, tenant: TenantId) -> None:
        """Wake all who wait for this tenant. Whoever asks next waits for the next one."""
        event = self._tenants.pop(tenant, None)
        if event is not None:
            event.set()
        if self._consumers:
            for waiting in self._consumers.pop(tenant, {}).values():
                waiting.set()
        if self.on_notify is not None:
            self.on_notify(tenant)

    def next(self, tenant: TenantId) -> trio.Event:
        """The event of this tenant's next append. Take it before looking at the log, or an append may be missed."""
        return self._tenants.setdefault(tenant, trio.Event())

    def notify_consumer(self, tenant: TenantId, lookup: bytes) -> None:
        """Wake all who wait for this consumer group: an answer came, or it has ended."""
        event = self._consumers.get(tenant, {}).pop(lookup, None)
        if event is not None:
            event.set()

    def next_of_consumer(self, tenant: TenantId, lookup: bytes) -> trio.Event:
        """The event of the next change that may let this consumer group hand something out, appends included.

        Take it before looking at group and log.
        """
        return self._consumers.setdefault(tenant, {}).setdefault(lookup, trio.Event())


class Progress:
    """Wakes those who wait for the committed state to move on, whatever moves it."""

    def __init__(self) -> None:
        self._waiting: list[trio.Event] = []

    def tell(self) -> None:
        """The state has moved on."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for event in waiting:
                event.set()

    async def wait_until(self, reached: Callable[[], bool]) -> None:
        """Wait until this holds; at once if it holds now."""
        while not reached():
            event = trio.Event()
            self._waiting.append(event)
            await event.wait()
