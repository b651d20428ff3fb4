"""Whether something was written about a subject while somebody judged whether it may be erased.

Rules
- A hold or a rule of retention that comes between the judgement and the erasure is told by their serial, which goes
  with the command: apply refuses it then, and it is judged again.
- What is written about the subject between the two may lie in a stream that is held. The primary that judges watches
  for it, and refuses its own proposal: so the watch begins before the log is read, and ends with the proposal.
- Another primary watches nothing. Who isn't the same one any more doesn't propose what it has judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field

from vdb.types import TenantId


@define(eq=False)
class Watch:
    """Whether anything is written about a subject from its making on."""

    tenant: TenantId
    subject: str = field(repr=False)
    touched: bool = False


class Watches:
    """Those that are on, of one group. Empty nearly always."""

    def __init__(self) -> None:
        self._on: list[Watch] = []

    def __bool__(self) -> bool:
        return bool(self._on)

    def saw(self, tenant: TenantId, subject: str) -> None:
        """Something is being sealed for this subject."""
        for watch in self._on:
            watch.touched = watch.touched or (watch.tenant, watch.subject) == (tenant, subject)

    @contextmanager
    def watching(self, tenant: TenantId, subject: str) -> Iterator[Watch]:
        watch = Watch(tenant, subject)
        self._on.append(watch)
        try:
            yield watch
        finally:
            self._on.remove(watch)
