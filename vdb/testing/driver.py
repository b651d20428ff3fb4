"""A projection over a database in memory, driven step by step: the runner's rules without its loop.

A batch that fails is rolled back; everything before the culprit is committed, the culprit is tried alone, and if it
fails again the projection's policy counts (`vdb.projections.runner`, promise 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from attrs import evolve, frozen

from vdb.events.recorded import RecordedEvent
from vdb.ports import Connection
from vdb.projections import parking
from vdb.projections.apply import Culprit, Span, commit_failure, commit_span, prepare_database
from vdb.projections.config import ErrorPolicy, ProjectionConfig
from vdb.projections.given import as_configs
from vdb.projections.handler import Context, StoredEvent
from vdb.projections.parking import ParkedEvent
from vdb.projections.rows import dump_tables
from vdb.projections.source import OpenedRun
from vdb.projections.store import close_sqlcipher, open_plain_memory
from vdb.testing.events import GROUP

T = TypeVar("T")
_PARKED_MAX = 10_000


class Crash(BaseException):
    """The process ended, as it were."""


@frozen
class _Crashing:
    """A template that crashes when it has applied so many events."""

    inner: Any
    left: list[int]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def apply(self, db: Connection, event: StoredEvent, context: Context) -> None:
        self.inner.apply(db, event, context)
        self.left[0] -= 1
        if self.left[0] <= 0:
            raise Crash


class Driver:
    """One life after the other of a projection whose file stays. Close it."""

    def __init__(self, given: Any) -> None:
        self._given = given
        self.db = open_plain_memory()
        self.live = False
        """Whether events have effects."""
        self.handled: list[RecordedEvent] = []
        """The events that effects would be given."""
        self.failed: Exception | None = None
        """What stopped the projection."""
        self.failed_at = -1
        self.restart()

    def restart(self) -> None:
        """End the life, and begin the next one: what isn't in the database is lost."""
        (self.config,) = as_configs([self._given])
        self.position = prepare_database(self.db, self.config, (GROUP,))[GROUP]

    def deliver(self, runs: Sequence[OpenedRun], end: int) -> None:
        """Apply events from the position to `end`, as a runner does."""
        while self.failed is None and self.position < end:
            culprit = self._commit(runs, end, exact=False)
            if culprit is None:
                return
            if culprit.number > self.position and self._commit(runs, culprit.number, exact=True) is not None:
                continue
            if self._commit(runs, self.position + 1, exact=True) is not None:
                self._pass_over(runs)

    def deliver_again(self, runs: Sequence[OpenedRun], start: int) -> None:
        """Deliver what is committed once more: the position refuses it."""
        if start == self.position:
            return
        span = Span(group=GROUP, runs=runs, start=start, end=self.position)
        try:
            commit_span(self.db, self.config, span, Culprit())
        except Exception:  # a handler may find its own rows before the position is compared
            return
        raise AssertionError("a batch that was delivered again was applied again")

    def crash_in(self, runs: Sequence[OpenedRun], end: int, events: int) -> None:
        """Begin a batch, crash after so many events, and begin the next life."""
        if self.failed is None and self.position < end:
            template = _Crashing(self.config.template, [events])
            span = Span(group=GROUP, runs=runs, start=self.position, end=end)
            try:
                commit_span(self.db, evolve(self.config, template=template), span, Culprit())
            except Crash:
                pass
            except Exception:
                pass
            self.restart()

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of all tables, sorted."""
        return dump_tables(self.db)

    def parked(self) -> list[ParkedEvent]:
        """Events that were parked or skipped; those that only wait are counted."""
        return parking.list_parked(self.db, _PARKED_MAX)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """As `vdb.ports.Database.read`, for batches of effects."""
        return work(self.db)

    def close(self) -> None:
        close_sqlcipher(self.db)

    def _commit(self, runs: Sequence[OpenedRun], end: int, *, exact: bool) -> Culprit | None:
        """Commit up to `end`; who failed, if somebody did."""
        culprit = Culprit(exact=exact or not self.config.only_writes)
        span = Span(group=GROUP, runs=runs, start=self.position, end=end, live_from=0 if self.live else None)
        try:
            commit_span(self.db, self.config, span, culprit)
        except Exception as error:
            if culprit.number < 0:
                raise
            self._error = error
            self._culprit = culprit
            return culprit if culprit.exact else self._commit(runs, end, exact=True)
        self.position = end
        self.handled.extend(span.handled)
        return None

    def _pass_over(self, runs: Sequence[OpenedRun]) -> None:
        if self.config.on_error is ErrorPolicy.STOP:
            self.failed, self.failed_at = self._error, self._culprit.number
            return
        span = Span(group=GROUP, runs=runs, start=self.position, end=self.position + 1)
        commit_failure(self.db, self.config, span, self._culprit, self._error)
        self.position = span.end


def config_of(given: Any) -> ProjectionConfig:
    """The one configuration of what was given."""
    configs = as_configs([given])
    if len(configs) != 1:
        raise AssertionError(f"expected one projection, found {len(configs)}")
    return configs[0]
