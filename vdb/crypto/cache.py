"""A bounded map that forgets what was used least recently. The order follows the calls alone, so runs repeat."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Holds at most `size_max` entries. Its repr shows their number alone."""

    __slots__ = ("_entries", "size_max")

    def __init__(self, size_max: int) -> None:
        assert size_max >= 1
        self.size_max = size_max
        self._entries: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """The value, which counts as used now; None when it isn't here."""
        value = self._entries.pop(key, None)
        if value is not None:
            self._entries[key] = value
        return value

    def put(self, key: K, value: V) -> None:
        """Hold the value; forgets the least recently used one when full."""
        self._entries.pop(key, None)
        if len(self._entries) == self.size_max:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = value

    def forget(self, key: K) -> None:
        self._entries.pop(key, None)

    def clear(self) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"BoundedCache({len(self._entries)} of {self.size_max})"
