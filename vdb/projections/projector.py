"""One projection of one tenant, over all its generations: the rows in use, and those that are built beside them.

Promises
1. Who reads gets rows of the generation in use, and never of one that isn't whole. What is in use changes by one write
   of the pointer (`vdb.projections.generations`); after it nobody gets older rows than before, unless by `switch_back`.
2. A version above the one in use is built beside it by itself, from the log, and then used; so are the rows of a
   `rebuild`. Meanwhile the generation in use follows the log, if the handlers of its version are here; if they aren't,
   its rows are served as they are.
3. What is being built goes on where it was after a restart. If the configuration has changed since, it begins anew.
4. Rows are used only once they have reached the end of the log, and the check query, if there is one, gives no row.
   If that fails, the generation in use stays, and the status says why.
5. At the switch both stand at the same position, so that each event is live in exactly one of them.
6. The generation that was in use before is kept, as it was left, for the way back; older ones are removed.
7. Where what is in use is newer than the versions here, the projection stops, and nothing else; the status says why.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

import trio
from attrs import evolve

from vdb.errors import (
    ConfigError,
    DatabaseDamaged,
    DefiniteError,
    DiskFull,
    InvalidArgument,
    NodeStopped,
    Overloaded,
    ProjectionFailed,
    VerityError,
)
from vdb.marks import mark
from vdb.projections.comparing import RowDifferences, compare
from vdb.projections.config import ProjectionConfig
from vdb.projections.finishing import align, catch_up, check
from vdb.projections.generations import FIRST, Generation, GenerationFiles, Pointer
from vdb.projections.opening import Means, Opener, begin
from vdb.projections.parking import ParkedEvent, list_parked
from vdb.projections.progress import Progress
from vdb.projections.replaying import Replayed, replay
from vdb.projections.rows import LIMIT_DEFAULT, Rows
from vdb.projections.runner import ProjectionRunner
from vdb.projections.serving import ProjectorStatus, Serving, building_status, without_rows
from vdb.projections.values import SqlValue
from vdb.types import GroupId, Position, TenantId

T = TypeVar("T")
RENEW_STEP_SECONDS = 0.05

_OF_ONE_FILE = (ProjectionFailed, DatabaseDamaged, NodeStopped)
"""What may be wrong with the file of one generation: it ends neither the node, nor the projection."""


class Projector:
    """`versions`: the configurations of this name that are here, of different versions. `run` is its task."""

    def __init__(self, tenant: TenantId, versions: Sequence[ProjectionConfig], means: Means) -> None:
        self.tenant = tenant
        self._versions = {config.version: config for config in sorted(versions, key=lambda config: config.version)}
        self._newest = list(self._versions.values())[-1]
        self.name = self._newest.name
        self._means = means
        self._files = GenerationFiles(means.disk, tenant, self.name)
        self._opener = Opener(tenant, self._versions, means, self._files)
        self._pointer = Pointer(current=None)
        self._current: Serving | None = None
        self._building: Serving | None = None
        self._opened = False
        """Whether the generation in use is open."""
        self._opens = trio.Event()
        self._changing = trio.Lock()
        self._held_up = self._stopped = ""  # why the rows in use aren't open yet; why they can't be by what is here
        self._holds_again = False
        """Whether something was built that waits for a command, when all began to be built anew."""
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve, and build what is to be built, until cancelled. Started once the rows in use are open."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            async with self._changing:
                self._pointer = await self._patiently(self._load)
                if self._pointer.last > FIRST:
                    await self._patiently(lambda: self._files.tidy(self._pointer))
                with suppress(ConfigError):  # it has stopped, and says so
                    if self._pointer.current is not None:
                        await self._serve(self._pointer.current)
                await self._patiently(self._take_up_building)
            task_status.started()
            await trio.sleep_forever()

    # Reading ---------------------------------------------------------------------------------------------------

    async def rows(
        self,
        table: str,
        where: Mapping[str, SqlValue] | None = None,
        order_by: Sequence[str] = (),
        limit: int = LIMIT_DEFAULT,
    ) -> Rows:
        """Rows of a declared table; see `ProjectionRunner.rows`. Waits where there are none yet."""

        async def ask(serving: Serving) -> Rows:
            if serving.floor:
                await serving.rows.wait_for(serving.floor)
            return await serving.rows.rows(table, where, order_by, limit)

        return await self._on_current(ask)

    async def wait_for(self, positions: Mapping[GroupId, int]) -> None:
        """Return when everything before these positions is in the rows in use; ProjectionFailed if they stopped."""
        await self._on_current(lambda serving: serving.rows.wait_for(positions))

    async def parked(self, maximum: int) -> list[ParkedEvent]:
        """Events that the rows in use passed over: parked ones, and skipped ones, by position."""

        async def ask(serving: Serving) -> list[ParkedEvent]:
            return await serving.rows.read(lambda db: list_parked(db, maximum))

        return await self._on_current(ask)

    async def settle_parked(self, position: Position | None, *, drop: bool) -> int:
        """Try a parked event again, with those behind it, or drop it; None: all. How many were applied, or dropped."""

        async def ask(serving: Serving) -> int:
            if not isinstance(serving.rows, ProjectionRunner):
                raise InvalidArgument(str(serving.rows.status().error))
            shelf = serving.rows.shelf
            return await (shelf.drop(position) if drop else shelf.retry(position))

        return await self._on_current(ask)

    async def _on_current(self, ask: Callable[[Serving], Awaitable[T]]) -> T:
        while True:
            while not self._opened:
                if self._stopped:
                    raise ProjectionFailed(self._stopped)
                await self._opens.wait()
            serving = self._current
            assert serving is not None
            try:
                return await ask(serving)
            except (NodeStopped, trio.ClosedResourceError):
                if serving is self._current:
                    raise
                mark("projector.asked_again")

    def status(self) -> ProjectorStatus:
        current, building, pointer = self._current, self._building, self._pointer
        if current is None:
            version = 0 if pointer.current is None else pointer.current.version
            source, why = self._means.source_for(self._newest), self._stopped or self._held_up
            rows = without_rows(self.tenant, self.name, version, source, why)
            condition = "stopped" if self._stopped else "opening"
        else:
            rows, condition = current.rows.status(), current.rows.condition
        return ProjectorStatus(
            rows=rows,
            generation=0 if pointer.current is None else pointer.current.number,
            condition=condition,
            still_seconds=0.0 if current is None else trio.current_time() - current.source.moved_at,
            previous=0 if pointer.previous is None else pointer.previous.number,
            building=None if building is None else building_status(building, hold=pointer.hold),
        )

    @property
    def current(self) -> Serving | None:
        """The generation in use, if it is open."""
        return self._current if self._opened else None

    # Changing --------------------------------------------------------------------------------------------------

    async def rebuild(self, *, hold: bool) -> None:
        """Begin to build the rows anew beside those in use. Takes the place of a rebuild that is under way."""
        await self._change(lambda: self._begin(self._newest.version, hold=hold))

    async def renew(self) -> None:
        """Build the rows anew under the key that files have now, use them, and keep nothing of those before: something
        was erased, and what they say of that must go. Returns when it has gone; VerityError where it can't be built.
        What was built to wait for a command is begun anew behind that, and goes on waiting."""
        first = self._pointer.last + 1

        async def is_renewed() -> bool:
            current, building = self._pointer.current, self._building
            if current is not None and current.number >= first:
                return True
            if building is None or building.generation.number < first or self._pointer.hold:
                await self._begin_renewing()
            elif building.error:
                raise ProjectionFailed(f"projection {self.name!r} can't be built anew: {building.error}")
            return False

        while not await self._change(is_renewed):  # noqa: ASYNC110 - what is built tells nobody
            await trio.sleep(RENEW_STEP_SECONDS)
        await self._change(self._forget_previous)

    async def _begin_renewing(self) -> None:
        version, current = self._pointer.renewed_version(list(self._versions)), self._pointer.current
        keeps = current is not None and current.version == version
        if self._pointer.hold and not keeps:
            self._means.warn("projection.switches_unasked", projection=self.name, tenant=self.tenant, version=version)
        self._holds_again = keeps and (self._holds_again or self._pointer.hold)
        await self._begin(version, hold=False)

    async def _forget_previous(self) -> None:
        mark("projector.renewed")
        pointer = evolve(self._pointer, previous=None)
        await self._files.store(pointer)
        self._pointer = pointer
        await self._files.tidy(pointer)
        assert pointer.current is not None
        await self._files.remove_aside(pointer.current.number)
        if self._holds_again:
            mark("projector.holds_again")
            await self._begin(self._newest.version, hold=True)
            self._holds_again = False

    async def switch(self) -> int:
        """Use what was built beside; its generation. InvalidArgument where nothing is ready."""

        async def work() -> int:
            building = self._building
            if building is None:
                raise InvalidArgument(f"projection {self.name!r}: nothing is built beside the rows in use")
            if building.error:
                building.error = await check(building) if building.whole else building.error
            if building.error:
                raise InvalidArgument(f"projection {self.name!r}: what was built can't be used: {building.error}")
            if not building.whole:
                progress = building.source.progress()
                raise InvalidArgument(
                    f"projection {self.name!r} is still being built: {progress.done} of {progress.total} positions read"
                )
            await self._use(building)
            return building.generation.number

        return await self._change(work)

    async def switch_back(self) -> int:
        """Use what was in use before, as it was left; with its handlers here it then catches up. Its generation."""

        async def work() -> int:
            if self._pointer.previous is None:
                raise InvalidArgument(f"projection {self.name!r}: no rows are kept that were in use before")
            pointer = self._pointer.switched_back()
            mark("projector.switched_back")
            await self._files.store(pointer)
            seen = {} if self._current is None else self._current.rows.status().positions
            await self._replace(pointer, seen)
            assert pointer.current is not None
            self._tell("projection.switched_back")
            return pointer.current.number

        return await self._change(work)

    async def diff(self, differences_max: int) -> RowDifferences:
        """How what is built beside differs from the rows in use, both held at one position if they can move."""
        async with self._changing:
            current, building = self._current, self._building
            if building is None or current is None:
                raise InvalidArgument(f"projection {self.name!r}: nothing is built beside the rows in use")
            if not building.whole and not building.error:
                raise InvalidArgument(f"projection {self.name!r} is still being built: there is nothing to compare yet")
            try:
                await align(current, building)
                comparison = await compare(current.rows, building.rows, differences_max)
                return RowDifferences(
                    comparison=comparison,
                    before=current.rows.status().positions,
                    after=building.rows.status().positions,
                )
            finally:
                current.source.release()
                building.source.release()

    async def replay(self, start: Mapping[GroupId, int], differences_max: int) -> Replayed:
        """Apply the log to rows that nobody is served; from the beginning, they are compared with those in use."""
        async with self._changing:
            current = self._current
            comparable = current is not None and current.config is self._newest and not any(start.values())
            if current is not None and comparable:
                try:
                    await current.rows.wait_for(current.source.heads())
                except ProjectionFailed:
                    comparable = False
            return await replay(
                self._means,
                self.tenant,
                self._newest,
                self._files.scratch,
                start,
                current.rows if current is not None and comparable else None,
                differences_max,
            )

    async def _change(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run `work` in a task of the projection's own: whoever asked may go, what it began is finished."""
        done = trio.Event()
        results: list[T] = []
        errors: list[VerityError] = []

        async def run() -> None:
            async with self._changing:
                try:
                    results.append(await work())
                except (DefiniteError, *_OF_ONE_FILE) as error:
                    errors.append(error)
            done.set()

        if self._nursery is None:
            raise NodeStopped(f"projection {self.name!r} isn't open")
        try:
            self._nursery.start_soon(run)
        except RuntimeError:  # trio's, of a nursery that has ended
            raise NodeStopped(f"projection {self.name!r} has been closed") from None
        await done.wait()
        if errors:
            raise errors[0]
        return results[0]

    # Opening ---------------------------------------------------------------------------------------------------

    async def _load(self) -> Pointer:
        pointer = await self._files.load()
        if pointer is not None:
            return pointer
        first = Pointer.first(self._newest.version)
        if self._newest.version == 1:
            return first  # nothing older can be in the file
        stored = await self._opener.peek(1)
        if stored is None:
            return first
        mark("projector.adopted")
        pointer = Pointer.first(stored.version)
        await self._files.store(pointer)
        return pointer

    async def _serve(self, generation: Generation, live_from: Mapping[GroupId, int] | None = None) -> None:
        """Open the generation in use. ConfigError, where what is here can't: then the projection has stopped."""
        assert self._nursery is not None
        self._stopped = ""
        try:
            found = self._current = await self._patiently(lambda: self._opener.serving(generation, live_from))
            if found is None:
                self._pointer = evolve(self._pointer, current=None)
                return
            await begin(self._nursery, found)
        except ConfigError as error:
            mark("projector.stopped")
            self._stopped = f"projection {self.name!r} of tenant {self.tenant} has stopped: {error}"
            self._current, opens, self._opens = None, self._opens, trio.Event()
            opens.set()
            self._means.warn("projection.stopped", reason=self._stopped)
            raise
        self._opened = True
        self._opens.set()

    # Building --------------------------------------------------------------------------------------------------

    async def _take_up_building(self) -> None:
        """Go on with what an earlier life was building, or begin what a raised version asks for."""
        building, current = self._pointer.building, self._pointer.current
        if building is not None and await self._can_go_on(building):
            mark("projector.building_resumed")
            await self._build(building)
        elif building is not None or current is None or self._newest.version > self._wanted_above(current):
            asked_for = building is not None and building.version == self._newest.version
            hold = self._pointer.hold if asked_for else self._newest.hold
            await self._begin(self._newest.version, hold=hold and current is not None)

    def _wanted_above(self, current: Generation) -> int:
        return max(current.version, self._pointer.declined)

    async def _can_go_on(self, building: Generation) -> bool:
        config, current = self._versions.get(building.version), self._pointer.current
        renews = current is not None and current.version == building.version and not self._pointer.hold
        if config is None or (config is not self._newest and not renews):
            return False
        stored = await self._opener.peek(building.number)
        return stored is None or stored.fingerprint == config.fingerprint()

    async def _begin(self, version: int, *, hold: bool) -> None:
        pointer = self._pointer.begun(version, hold=hold)
        await self._files.store(pointer)
        await self._drop_building()
        self._pointer = pointer
        await self._files.tidy(pointer)
        assert pointer.building is not None
        self._tell("projection.building", hold=hold)
        await self._build(pointer.building)

    async def _build(self, generation: Generation) -> None:
        assert self._nursery is not None
        self._building = self._opener.building(generation, self._versions[generation.version])
        self._nursery.start_soon(self._building.run)
        self._nursery.start_soon(self._attend, self._building)

    def _seen(self) -> Mapping[GroupId, int]:
        """How far the rows in use are."""
        return {} if self._current is None else self._current.rows.status().positions

    async def _drop_building(self) -> None:
        building, self._building = self._building, None
        if building is not None:
            mark("projector.building_dropped")
            await building.stop()

    async def _attend(self, building: Serving) -> None:
        """Wait until what is built is whole; then use it, unless it is to wait for a command."""
        with building.attending:
            await self._finish(building)
        if building.whole and not building.error and not self._pointer.hold:
            async with self._changing:
                if self._building is building:
                    await self._patiently(lambda: self._use(building))

    async def _finish(self, building: Serving) -> None:
        """Find out whether it can be used, and say so."""
        try:
            await catch_up(building, self._seen, lambda progress: self._tell_progress(building, progress))
            building.whole = True
            building.error = await check(building)
        except _OF_ONE_FILE as error:
            building.error = str(error)
        if building.error:
            mark("projector.build_failed")
            self._means.warn("projection.build_failed", **self._named(building.generation), reason=building.error)
        else:
            self._means.inform("projection.built", **self._named(building.generation))

    # Switching -------------------------------------------------------------------------------------------------

    async def _use(self, building: Serving) -> None:
        """Have what was built take the place of the rows in use."""
        current, pointer = self._current, self._pointer.switched()
        try:
            if current is not None:
                await align(current, building)
            await self._files.store(pointer)
        except DiskFull:
            building.source.release()
            if current is not None:
                current.source.release()
            raise
        mark("projector.switched")
        seen = {} if current is None else current.rows.status().positions
        await building.stop()
        self._building = None
        await self._replace(pointer, seen)
        self._tell("projection.switched")

    async def _replace(self, pointer: Pointer, seen: Mapping[GroupId, int]) -> None:
        """Close the rows in use, and open those that the pointer names; `seen`: as far as others were live."""
        old, self._current = self._current, None
        if self._opened:
            self._opened, self._opens = False, trio.Event()
        if old is not None:
            await old.stop()
        self._pointer = pointer
        assert pointer.current is not None
        await self._serve(pointer.current, seen)
        await self._files.tidy(pointer)
        if self._current is None and self._building is None:
            mark("projector.nothing_to_go_back_to")
            await self._begin(self._newest.version, hold=False)

    # Little things ---------------------------------------------------------------------------------------------

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Again and again while the disk is full or the node overloaded."""
        while True:
            try:
                found = await work()
            except (DiskFull, Overloaded) as error:
                mark("projector.held_up")
                why = "the disk is full" if isinstance(error, DiskFull) else "the node is overloaded"
                self._held_up = f"projection {self.name!r} of tenant {self.tenant} waits: {why}"
                await trio.sleep(self._means.pause)
            else:
                self._held_up = ""
                return found

    def _tell(self, event: str, **fields: object) -> None:
        found = self._pointer.building or self._pointer.current
        assert found is not None
        self._means.inform(event, **self._named(found), **fields)

    def _tell_progress(self, building: Serving, progress: Progress) -> None:
        named, pace = self._named(building.generation), round(progress.events_per_second)
        self._means.inform(
            "projection.building", **named, done=progress.done, total=progress.total, events_per_second=pace
        )

    def _named(self, found: Generation) -> dict[str, object]:
        return {"projection": self.name, "tenant": self.tenant, "generation": found.number, "version": found.version}
