"""The runner: keeps one projection of one tenant in step with the log.

Promises
1. Rows and position commit together, by compare-and-set on the old position (`vdb.projections.meta`).
2. Each event is applied exactly once, in the order of its group; between groups there is no order.
3. A handler that raises has the batch rolled back. Everything before the culprit is committed, the culprit is tried
   alone, and if it fails again the projection's policy counts: `stop` (it goes no further until the node starts again,
   and the status names projection, position, event type and cause), `park` or `skip` (`vdb.projections.parking`). The
   node and its other projections go on.
4. What fails beneath (the disk, a record that doesn't open) isn't the handler's: it is raised to the node.
5. A full disk, and an overloaded node when it puts its key, only hold it up: it tries again, and the status says so.
6. A damaged file is set aside, once in a life, and built again from the log; damaged again, the projection stops. Who
   asks for rows meanwhile waits until they are as new as they were. A file that doesn't open under its key, which
   comes from the key store, is damaged.
7. Neither status nor errors hold a payload, a name or a subject: of foreign exceptions only the class is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TypeVar

import trio
from attrs import frozen

from vdb.errors import (
    DatabaseDamaged,
    DiskFull,
    InvalidArgument,
    NodeStopped,
    Overloaded,
    ProjectionFailed,
    StorageError,
    WrongKey,
)
from vdb.marks import mark
from vdb.ports import Connection, Database, Disk
from vdb.projections.apply import Culprit, Span, cause_of, commit_failure, commit_span, prepare_database
from vdb.projections.config import ErrorPolicy, ProjectionConfig
from vdb.projections.effects import Batch, Effects
from vdb.projections.parking import count_parked
from vdb.projections.retrying import Shelf
from vdb.projections.rows import LIMIT_DEFAULT, Rows, make_query, read_rows
from vdb.projections.running import KeyAwaited, KeyFor, Live, ProjectionStatus, database_path, nothing_is_live
from vdb.projections.source import EventSource, OpenedRun
from vdb.projections.values import SqlValue
from vdb.rare import rare
from vdb.types import GroupId, Position, TenantId

AHEAD_MAX = 50_000
"""Positions without an event for this projection after which the file takes the position nevertheless: a start reads
them again, which costs microseconds each."""


class _State(Enum):
    NEW = "new"
    OPEN = "open"
    CLOSED = "closed"


T = TypeVar("T")


@frozen
class _Failure:
    """What a handler raised, and at which event."""

    culprit: Culprit
    error: Exception | SystemExit


class ProjectionRunner:
    """One per file of a tenant's projection. `run` is its task; the other methods may be called while it runs.

    `path` is the file's, in the data directory; `live` says which events have effects.
    """

    def __init__(
        self,
        *,
        disk: Disk,
        source: EventSource,
        config: ProjectionConfig,
        tenant: TenantId,
        key_for: KeyFor,
        path: str | None = None,
        live: Live = nothing_is_live,
        batch_events: int | None = None,
        pause: float = 1.0,
        opening: trio.Semaphore | None = None,
        on_failed: Callable[[ProjectionFailed], None] | None = None,
        on_set_aside: Callable[[DatabaseDamaged], None] | None = None,
        on_effect_failed: Callable[[str], None] | None = None,
    ) -> None:
        self.config = config
        self.tenant = tenant
        self._disk = disk
        self._source = source
        self._key_for = key_for
        self._path = database_path(tenant, config.name) if path is None else path
        self._live = live
        self._batch_events = config.batch_events if batch_events is None else batch_events
        self._pause = pause  # seconds between two attempts when something holds it up
        self._opening = trio.Semaphore(1) if opening is None else opening  # shared: how many open at once
        self._on_failed = on_failed
        self._on_set_aside = on_set_aside
        self._effects = Effects(config, on_effect_failed)
        self.shelf = Shelf(source, tenant, config, self._write, self.read)
        """What is parked."""
        self._parked = self._skipped = 0
        self._database: Database | None = None
        self._committed: dict[GroupId, int] = {}
        # Read up to here: ahead of `_committed` only where the log holds nothing for this projection in between.
        self._read: dict[GroupId, int] = {}
        # As far as rows were read before the file was set aside: nobody is shown older ones.
        self._floor: dict[GroupId, int] = {}
        self._set_aside_before = False
        self._damage: DatabaseDamaged | None = None  # found by a reader
        self._following = trio.CancelScope()
        self._failed: ProjectionFailed | None = None
        self._held_up = ""
        self._state = _State.NEW
        self._progress = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open the file, follow the log until cancelled. Started once the file is open and its positions known."""
        if not self.config.after_commit:
            await self._run_rows(task_status)
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._effects.run)
            try:
                await self._run_rows(task_status)
            finally:
                nursery.cancel_scope.cancel()

    async def _run_rows(self, task_status: trio.TaskStatus[None]) -> None:
        started = False
        try:
            while True:
                await self._open()
                if not started:
                    task_status.started()
                    started = True
                await self._set_aside(await self._follow_until_damage())
        except ProjectionFailed as error:
            self._fail(error)
            if not started:
                task_status.started()
            await trio.sleep_forever()
        finally:
            self._state = _State.CLOSED
            self._announce()
            if self._database is not None:
                with trio.CancelScope(shield=True):
                    await self._database.close()

    async def wait_for(self, positions: Mapping[GroupId, int]) -> None:
        """Return when everything before these positions is applied; ProjectionFailed if the projection stopped."""
        for group in positions:
            if group not in self._read and self._state is _State.OPEN:
                raise InvalidArgument(f"projection {self.config.name!r} reads no group {group!r} on this node")
        while any(self._read.get(group, -1) < position for group, position in positions.items()):
            if self._failed is not None:
                raise ProjectionFailed(str(self._failed))
            if self._state is _State.CLOSED:
                raise NodeStopped(f"projection {self.config.name!r} has been closed")
            await self._progress.wait()

    async def rows(
        self,
        table: str,
        where: Mapping[str, SqlValue] | None = None,
        order_by: Sequence[str] = (),
        limit: int = LIMIT_DEFAULT,
    ) -> Rows:
        """Rows of a declared table. `where` holds equalities; `-column` in `order_by` sorts downwards."""
        query = make_query(self.config, table, where, order_by, limit)
        while True:
            database = await self._readable()
            try:
                return await read_rows(database, self.config, query)
            except DatabaseDamaged as error:
                self._notice_damage(database, error)
            except trio.ClosedResourceError:
                if self._database is database:
                    raise

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Call `work` with a read-only connection to the file that sees the last committed rows."""
        return await (await self._readable()).read(work)

    @property
    def condition(self) -> str:
        """In a word: "opening", "following", "stopped" or "held up"."""
        if self._failed is not None:
            return "stopped"
        if self._held_up:
            return "held up"
        return "following" if self._state is _State.OPEN else "opening"

    def status(self) -> ProjectionStatus:
        lag = sum(max(0, self._source.head(self.tenant, group) - read) for group, read in self._read.items())
        return ProjectionStatus(
            tenant=self.tenant,
            name=self.config.name,
            version=self.config.version,
            positions=dict(self._read),
            lag=lag,
            error=str(self._failed) if self._failed is not None else self._held_up,
            parked=self._parked,
            skipped=self._skipped,
        )

    # The loop --------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        while True:
            try:
                # Once before: while nobody can put the key, others open.
                await self._key_for(self.tenant, self.config.name)
                async with self._opening:
                    await self._open_once()
            except (DiskFull, Overloaded, KeyAwaited) as error:
                mark("projection.open_held_up")
                await self._hold_up(error)
            except DatabaseDamaged as error:
                await self._set_aside(error)
            else:
                self._held_up = ""
                self._following = trio.CancelScope()
                self._state = _State.OPEN
                self._announce()
                return

    async def _open_once(self) -> None:
        path = self._path
        await self._disk.make_directory(path.rpartition("/")[0])
        key = await self._key_for(self.tenant, self.config.name)
        if self._database is None:
            try:
                self._database = await self._disk.open_database(path, key)
            except WrongKey:
                raise DatabaseDamaged(f"{path}: it doesn't open under its key") from None
        groups = tuple(sorted(self._source.groups()))

        def prepare(db: Connection) -> dict[GroupId, int]:
            positions = prepare_database(db, self.config, groups)
            self._count(db)
            return positions

        found = await self._database.run(prepare)
        self._committed = {group: found[group] for group in groups}
        self._read = dict(self._committed)

    async def _follow_until_damage(self) -> DatabaseDamaged:
        """Follow the log until writer or reader find that the file is damaged."""
        try:
            with self._following:
                await self._follow()
        except DatabaseDamaged as error:
            return error
        assert self._damage is not None, "only a reader that finds damage ends it"
        return self._damage

    def _notice_damage(self, database: Database, error: DatabaseDamaged) -> None:
        """A reader found damage: `run` sees to it."""
        if self._database is database and self._state is _State.OPEN:
            self._state = _State.NEW
            self._damage = error
            self._following.cancel()

    async def _set_aside(self, damage: DatabaseDamaged) -> None:
        """Make room for a new file. ProjectionFailed the second time."""
        self._state = _State.NEW
        self._floor, self._read, self._committed = self._read, {}, {}
        database, self._database = self._database, None
        if database is not None:
            await database.close()
        if self._set_aside_before:
            raise ProjectionFailed(
                f"projection {self.config.name!r} of tenant {self.tenant} stopped: its file was damaged again after it "
                f"had been built anew: {damage}"
            )
        self._set_aside_before = True
        mark("projection.set_aside")
        while True:
            try:
                await self._disk.set_database_aside(self._path)
            except DiskFull as error:
                await self._hold_up(error)
            else:
                break
        if self._on_set_aside is not None:
            self._on_set_aside(damage)

    async def _follow(self) -> None:
        while True:
            moved = False
            for group in self._read:
                moved |= await self._step(group)
            if not moved:
                await self._source.wait_for_events(self.tenant, dict(self._read))
                if self.config.batch_seconds > 0:
                    await self._gather()

    async def _gather(self) -> None:
        """Let events come together for a transaction."""
        with trio.move_on_after(self.config.batch_seconds):
            while True:
                heads = {group: self._source.head(self.tenant, group) for group in self._read}
                if sum(max(0, heads[group] - read) for group, read in self._read.items()) >= self._batch_events:
                    return
                await self._source.wait_for_events(self.tenant, heads)

    async def _step(self, group: GroupId) -> bool:
        """Apply the next batch of a group; False when there is none."""
        events = 1 if rare("projection.one_event") else self._batch_events
        runs, next_position = await self._source.read_log(self.tenant, group, self._read[group], events)
        if runs:
            await self._apply(group, runs, next_position)
        elif next_position - self._committed[group] >= AHEAD_MAX:
            await self._commit(group, (), self._committed[group], next_position)
        moved = bool(runs) or next_position > self._read[group]
        self._read[group] = max(next_position, self._read[group])
        self._announce()
        return moved

    async def _apply(self, group: GroupId, runs: Sequence[OpenedRun], next_position: int) -> None:
        assert next_position >= runs[-1].next_position, "the log's next position lies within what it returned"
        failure = await self._commit(group, runs, self._committed[group], next_position)
        while failure is not None:
            mark("projection.one_by_one")
            at = failure.culprit.number
            if not failure.culprit.exact:
                failure = await self._commit(group, runs, self._committed[group], next_position, exact=True)
                continue
            if at > self._committed[group]:
                failure = await self._commit(group, runs, self._committed[group], at, exact=True)
                if failure is not None:
                    continue
            failure = await self._commit(group, runs, at, at + 1, exact=True)
            if failure is not None:
                await self._pass_over(group, runs, failure)
            failure = await self._commit(group, runs, at + 1, next_position, exact=True)

    async def _commit(
        self, group: GroupId, runs: Sequence[OpenedRun], start: int, end: int, *, exact: bool = False
    ) -> _Failure | None:
        """Commit [start, end) in one transaction. The failure of a handler is returned, anything else raised."""
        live = self._live(group) if self.config.after_commit else None
        live_from = None if live is None else max(live, self._floor.get(group, 0))
        # A template that isn't given rows to gather tells its culprit at once.
        culprit = Culprit(exact=exact or not self.config.only_writes)
        span = Span(group=group, runs=runs, start=start, end=end, live_from=live_from)

        def work(db: Connection) -> None:
            commit_span(db, self.config, span, culprit)
            if self._parked:  # more may wait now
                self._count(db)

        try:
            await self._run(work)
        except StorageError:
            raise
        except (Exception, SystemExit) as error:  # a handler that calls sys.exit() ends its projection, not the node
            if culprit.number < 0:
                raise
            return _Failure(culprit, error)
        self._committed[group] = end
        self._read[group] = max(end, self._read[group])
        if span.handled:
            await self._effects.put(
                Batch(
                    projection=self.config.name,
                    tenant=self.tenant,
                    group=group,
                    events=tuple(span.handled),
                    database=self._opened(),
                )
            )
        return None

    async def _pass_over(self, group: GroupId, runs: Sequence[OpenedRun], failure: _Failure) -> None:
        """Do as the policy says with an event that failed alone. ProjectionFailed: stop."""
        culprit, error = failure.culprit, failure.error
        if self.config.on_error is ErrorPolicy.STOP:
            raise self._failure(Position(group, culprit.number), culprit.event_type, error)
        mark("projection.passed_over")
        span = Span(group=group, runs=runs, start=culprit.number, end=culprit.number + 1)

        def work(db: Connection) -> None:
            commit_failure(db, self.config, span, culprit, error)

        await self._run(work)
        self._parked += self.config.on_error is ErrorPolicy.PARK
        self._skipped += self.config.on_error is ErrorPolicy.SKIP
        self._committed[group] = span.end
        self._read[group] = max(span.end, self._read[group])

    async def _write(self, work: Callable[[Connection], T]) -> T:
        """Call `work` with the writing connection, between two batches."""

        def counted(db: Connection) -> T:
            result = work(db)
            self._count(db)
            return result

        return await (await self._readable()).run(counted)

    def _count(self, db: Connection) -> None:
        self._parked, self._skipped = count_parked(db)

    async def _run(self, work: Callable[[Connection], None]) -> None:
        while True:
            try:
                await self._opened().run(work)
            except DiskFull as error:
                mark("projection.disk_full")
                await self._hold_up(error)
            else:
                self._held_up = ""
                return

    async def _hold_up(self, error: DiskFull | Overloaded | KeyAwaited) -> None:
        if isinstance(error, KeyAwaited):
            why = "its file opens under no key that this node has heard of yet"
        else:
            why = "the disk is full" if isinstance(error, DiskFull) else "the node is overloaded"
        self._held_up = f"projection {self.config.name!r} of tenant {self.tenant} waits: {why}"
        await trio.sleep(self._pause)

    def _failure(self, position: Position, event_type: str, error: Exception | SystemExit) -> ProjectionFailed:
        kind = f"event {event_type!r}" if event_type else "an event without a type"
        return ProjectionFailed(
            f"projection {self.config.name!r} of tenant {self.tenant} stopped at position {position} ({kind}): "
            f"{cause_of(error)}"
        )

    def _fail(self, error: ProjectionFailed) -> None:
        mark("projection.stopped")
        self._failed = error
        self._announce()
        if self._on_failed is not None:
            self._on_failed(error)

    def _announce(self) -> None:
        """Wake those who wait for progress."""
        self._progress.set()
        self._progress = trio.Event()

    async def _readable(self) -> Database:
        """The file, once its rows are no older than those that were there before it was set aside."""
        while self._state is not _State.CLOSED and (
            self._state is _State.NEW or any(self._read[group] < position for group, position in self._floor.items())
        ):
            if self._failed is not None:
                raise ProjectionFailed(str(self._failed))
            await self._progress.wait()
        return self._opened()

    def _opened(self) -> Database:
        if self._database is None or self._state is not _State.OPEN:
            raise NodeStopped(f"projection {self.config.name!r} isn't open")
        return self._database
