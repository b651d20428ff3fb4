"""What who runs a projection gives to it and gets from it: keys, which events are live, its place and its status."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import frozen

from vdb.types import GroupId, TenantId


class KeyAwaited(Exception):
    """A file opens under none of its keys, and another may come: whoever opens it tries again, and lets others open
    meanwhile."""


KeyFor = Callable[[TenantId, str], Awaitable[bytes]]
"""The key of a projection's file: (tenant, projection's name) to 32 bytes."""

Live = Callable[[GroupId], int | None]
"""From which position on the events of a group have effects here and now; None: none has (see `after_commit`).

It is asked before each batch, and may change at any time: a node that becomes primary answers the position after the
last event that was prepared before it did, one that isn't primary None. What builds rows that aren't served yet
answers None.
"""


def nothing_is_live(group: GroupId) -> int | None:
    """Of a rebuild, a replay, a test of rows."""
    return None


@frozen(kw_only=True)
class ProjectionStatus:
    tenant: TenantId
    name: str
    version: int
    positions: dict[GroupId, int]
    """The next position to apply, by group."""
    lag: int
    """Positions between there and the tenant's last events, over all groups; 0 when all is applied."""
    error: str
    """Why it stopped, or what holds it up, or ""."""
    parked: int = 0
    """Events that wait for somebody to try them again, those behind a failed one too."""
    skipped: int = 0
    """Events that were passed over for good."""


def database_path(tenant: TenantId, name: str) -> str:
    """Where a projection's file lies in the data directory."""
    return f"projections/t_{tenant}/{name}.db"
