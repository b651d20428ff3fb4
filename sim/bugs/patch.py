"""A planted bug: replaced functions of the product, for the length of a run.

A run with a bug differs from `replay SEED` in the patch alone. It counts as found only when the same seed passes
without the patch and one of the invariants named beforehand fires.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import field, frozen


@frozen
class Replacement:
    """`owner.name` becomes what `make` returns, given what it was."""

    owner: Any
    name: str
    make: Callable[[Any], Any]


@frozen(kw_only=True)
class Bug:
    """`id`: a number for bugs of the protocol, 's1'... for storage, 'p1'... for projections, 't1'... for
    transactions, 'q1'... for SQL, 'd1'... for what appends are answered, 'c1'... for
    consumers, 'h1'... for evidence, 'a1'... for audit logs, 'g1'... for governance, 'e1'... for erasures, 'r1'... for
    regions,
    'k1'... for rotations of keys, 'w1'... for cosigning."""

    id: str
    what: str
    expected: tuple[str, ...]
    """Invariants, any of which must fire."""
    replacements: Callable[[], tuple[Replacement, ...]]
    """Called when the bug is planted, so that listing bugs imports nothing of the product."""
    overrides: Mapping[str, Any] = field(factory=dict)
    """Options of the runs in which it is looked for, where those that seeds draw don't do."""


@contextmanager
def planted(bug: Bug | None) -> Iterator[None]:
    """Apply the bug's replacements; take them back at the end."""
    undo: list[tuple[Any, str, Any]] = []
    try:
        for replacement in bug.replacements() if bug is not None else ():
            before = replacement.owner.__dict__[replacement.name]
            undo.append((replacement.owner, replacement.name, before))
            made = replacement.make(before.__func__ if isinstance(before, (staticmethod, classmethod)) else before)
            if isinstance(before, (staticmethod, classmethod)):
                made = type(before)(made)
            setattr(replacement.owner, replacement.name, made)
        yield
    finally:
        for owner, name, before in reversed(undo):
            setattr(owner, name, before)
