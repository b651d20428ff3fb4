"""What each tenant may have waiting in the gate, so that none of them takes all the room.

A write counts from its arrival to its answer. The bound is a share of what a group's queue takes: a tenant that floods
the node is told so, and the others' requests still find a place. One write is let in always, whatever its size.
"""

from __future__ import annotations

from attrs import define

from vdb.errors import Overloaded
from vdb.limits import Limits
from vdb.marks import mark
from vdb.types import TenantId

_SHARE = 0.75
"""The part of a group's queue that a tenant may fill."""


@define
class _Waiting:
    requests: int = 0
    size: int = 0


class Admission:
    """One per group."""

    def __init__(self, limits: Limits) -> None:
        self._requests_max = max(1, int(limits.request_queue_max * _SHARE))
        self._size_max = int(limits.request_queue_bytes_max * _SHARE)
        self._waiting: dict[TenantId, _Waiting] = {}

    def refusal(self, tenant: TenantId, size: int) -> Overloaded | None:
        """Why a write of this many bytes can't come in now."""
        waiting = self._waiting.get(tenant)
        if waiting is None:
            return None
        if waiting.requests >= self._requests_max:
            mark("admission.requests")
            return Overloaded(
                f"tenant {tenant} has {waiting.requests} requests waiting: expected at most {self._requests_max}, try "
                "again later"
            )
        if waiting.size + size > self._size_max:
            mark("admission.bytes")
            return Overloaded(
                f"tenant {tenant} has {waiting.size} bytes of requests waiting: expected at most {self._size_max} with "
                f"this one of {size}, try again later"
            )
        return None

    def enter(self, tenant: TenantId, size: int) -> None:
        """A write of the tenant waits from now on."""
        waiting = self._waiting.get(tenant)
        if waiting is None:
            waiting = self._waiting[tenant] = _Waiting()
        waiting.requests += 1
        waiting.size += size

    def leave(self, tenant: TenantId, size: int) -> None:
        """It was answered."""
        waiting = self._waiting[tenant]
        waiting.requests -= 1
        waiting.size -= size
        if not waiting.requests:
            assert waiting.size == 0, "each write leaves with the size that it entered with"
            del self._waiting[tenant]
