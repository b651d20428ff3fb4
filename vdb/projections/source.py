"""Where a projection's events come from: the node's opened log, seen through a protocol.

Contract of an EventSource
- A group's positions are shared by all its tenants, so one tenant's runs have gaps between them.
- `read_log` gives runs in position order; the first may begin before `from_position` when that lies inside a run.
- It gives committed events only, and the same ones every time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import field, frozen

from vdb.types import DataClass, GroupId, StreamId, TenantId


@frozen(kw_only=True)
class OpenedRun:
    """A run as it was sealed, opened: consecutive events of one stream of one subject."""

    tenant: TenantId
    group: GroupId
    stream: str = field(repr=False)
    """The stream's name."""
    stream_id: StreamId
    first_offset: int
    first_position: int
    time: int
    """Microseconds UTC of the op that appended it."""
    data_class: DataClass
    schema_id: int
    """0: opaque payloads, 1: event envelopes."""
    batch: bytes = field(repr=False)
    """The decrypted EventBatch."""
    event_ids: bytes = field(repr=False)
    """16 bytes for each event, or empty."""
    count: int
    subject_token: bytes = field(default=b"", repr=False)
    """Whose data it is; zeros where no subject was given."""
    dek_id: bytes = b""
    """Of the key under which it was sealed."""

    @property
    def next_position(self) -> int:
        return self.first_position + self.count


class EventSource(Protocol):
    def groups(self) -> Sequence[GroupId]:
        """The groups that this node holds."""

    def head(self, tenant: TenantId, group: GroupId) -> int:
        """The position after the tenant's last committed event in a group; 0 when there is none."""

    async def read_log(
        self, tenant: TenantId, group: GroupId, from_position: int, max_events: int
    ) -> tuple[Sequence[OpenedRun], int]:
        """The tenant's runs from a position, and the position to read from next (not before the last run's end).

        An empty answer means that all of the tenant's events up to the returned position have been read. About
        `max_events` events: at least one run, if there is one.
        """

    async def wait_for_events(self, tenant: TenantId, positions: Mapping[GroupId, int]) -> None:
        """Return when a group holds an event of the tenant at or beyond its position here."""
