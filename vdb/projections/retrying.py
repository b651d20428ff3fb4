"""Parked events of a projection that runs: listed, tried again, dropped.

Rules
- An event is read from the log by its position, decoded and upcast anew, and applied in a transaction of its own.
- Those behind it follow in their order until one fails; that one stays, with all behind it.
- The projection goes on meanwhile: its transactions and these take turns, and each looks what is parked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from vdb.errors import InvalidArgument, StorageError
from vdb.marks import mark
from vdb.ports import Connection
from vdb.projections import parking
from vdb.projections.apply import cause_of, commit_parked
from vdb.projections.config import ProjectionConfig
from vdb.projections.parking import ParkedEvent
from vdb.projections.source import EventSource
from vdb.types import Position, TenantId

T = TypeVar("T")


class Run(Protocol):
    """`vdb.ports.Database.run` of the projection's file."""

    def __call__(self, work: Callable[[Connection], T], /) -> Awaitable[T]: ...


class Shelf:
    """What of one projection is parked. `run` gets its work done by the writer, `read` by a reader."""

    def __init__(self, source: EventSource, tenant: TenantId, config: ProjectionConfig, run: Run, read: Run) -> None:
        self._source = source
        self._tenant = tenant
        self._config = config
        self._run = run
        self._read = read

    async def events(self, maximum: int) -> list[ParkedEvent]:
        """Events that failed, parked ones and skipped ones, by position."""
        return await self._read(lambda db: parking.list_parked(db, maximum))

    async def retry(self, position: Position | None = None) -> int:
        """Try a parked event again and, once it is in, those behind it; None: all. How many were applied.

        An event that waits behind another is tried in its turn. InvalidArgument when nothing is parked there.
        """
        applied = 0
        for event in await self._heads(position):
            applied += await self._retry_key(event)
        return applied

    async def drop(self, position: Position | None = None) -> int:
        """Skip a parked event for good, and apply those behind it; None: skip all that are parked. How many it were."""
        heads = await self._heads(position)
        dropped = await self._run(_transacted(lambda db: parking.drop(db, position)))
        if position is not None:
            for event in heads:
                await self._retry_key(event, waiting_only=True)
        return dropped

    async def _heads(self, position: Position | None) -> list[ParkedEvent]:
        if position is None:
            return await self._run(parking.first_of_keys)
        event = await self._run(lambda db: parking.find(db, position))
        if event is None:
            raise InvalidArgument(f"projection {self._config.name!r} has no parked event at {position}")
        return [event]

    async def _retry_key(self, head: ParkedEvent, *, waiting_only: bool = False) -> int:
        """Apply the events of one key in their order until one fails. `waiting_only`: until one that has failed."""
        applied = 0
        while True:
            event = await self._run(lambda db: parking.first_of_key(db, head.position.group, head.key))
            if event is None or (waiting_only and event.attempts) or not await self._retry_one(event):
                return applied
            applied += 1

    async def _retry_one(self, event: ParkedEvent) -> bool:
        group, number = event.position.group, event.position.number
        runs, _ = await self._source.read_log(self._tenant, group, number, 1)
        run = next((run for run in runs if run.first_position <= number < run.next_position), None)
        if run is None:
            # A node that came back may not know yet that the end of its log is committed; its files are ahead of it.
            assert number >= self._source.head(self._tenant, group), "the log holds what was parked"
            mark("projection.parked_ahead_of_log")
            return False
        try:
            await self._run(lambda db: commit_parked(db, self._config, run, event))
        except StorageError:
            raise
        except (Exception, SystemExit) as error:
            mark("projection.parked_failed_again")
            cause = cause_of(error)
            await self._run(_transacted(lambda db: parking.failed_again(db, event.position, cause)))
            return False
        return True


def _transacted(work: Callable[[Connection], T]) -> Callable[[Connection], T]:
    def transacted(db: Connection) -> Any:
        db.execute("BEGIN IMMEDIATE")
        try:
            result = work(db)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        return result

    return transacted
