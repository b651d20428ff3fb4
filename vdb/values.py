"""`fast_frozen`: what `attrs.frozen` is to the type checker, at a third of its cost.

attrs makes a frozen object by calling `object.__setattr__` for each field; a publish makes a dozen values of three to
six fields, and that was a tenth of its time. Who sets a field of such a value fails the type check, as with `frozen`,
but no longer at run time. For values of the hot path alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attrs import frozen as fast_frozen
else:
    from attrs import define

    def fast_frozen(cls: Any = None, **options: Any) -> Any:
        return define(cls, unsafe_hash=True, **options)


__all__ = ["fast_frozen"]
