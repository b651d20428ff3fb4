"""Requests that wait for a place in a prepare: in the order of their arrival, bounded in number and bytes."""

from __future__ import annotations

from collections import deque

from vdb.errors import Overloaded
from vdb.limits import Limits
from vdb.marks import mark
from vdb.node.preparing.request import Pending
from vdb.types import GroupId


class RequestQueue:
    """One per group. What was refused isn't in it, and hasn't used up its origin's number."""

    def __init__(self, group: GroupId, limits: Limits) -> None:
        self._group = group
        self._limits = limits
        self._waiting: deque[Pending] = deque()
        self._bytes = 0

    def refusal(self, size: int) -> Overloaded | None:
        """Why a request of this size can't wait here now."""
        if len(self._waiting) >= self._limits.request_queue_max:
            mark("group.overloaded")
            return Overloaded(f"group {self._group} has {len(self._waiting)} requests waiting: try again later")
        size_max = self._limits.request_queue_bytes_max
        if self._waiting and self._bytes + size > size_max:
            mark("group.overloaded_bytes")
            return Overloaded(
                f"group {self._group} has {self._bytes} bytes of requests waiting: expected at most {size_max} "
                f"with this one of {size}, try again later"
            )
        return None

    def add(self, pending: Pending) -> None:
        self._waiting.append(pending)
        self._bytes += pending.size

    def add_first(self, pending: Pending) -> None:
        """Before all others."""
        self._waiting.appendleft(pending)
        self._bytes += pending.size

    @property
    def first(self) -> Pending | None:
        return self._waiting[0] if self._waiting else None

    def take(self) -> Pending:
        """The first one, which leaves the queue."""
        pending = self._waiting.popleft()
        self._bytes -= pending.size
        return pending

    def take_all(self) -> list[Pending]:
        taken = list(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        return taken

    def __len__(self) -> int:
        return len(self._waiting)
