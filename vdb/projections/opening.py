"""Opening a projection's generations: with the handlers of their version, or rows alone where these are missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import trio
from attrs import field, frozen

from vdb.errors import ConfigError, DatabaseDamaged, WrongKey
from vdb.marks import mark
from vdb.ports import Database, Disk
from vdb.projections.config import ProjectionConfig
from vdb.projections.generations import Generation, GenerationFiles
from vdb.projections.progress import WatchedSource
from vdb.projections.runner import ProjectionRunner
from vdb.projections.running import KeyAwaited, KeyFor, Live, nothing_is_live
from vdb.projections.serving import Serving, StillRows
from vdb.projections.source import EventSource
from vdb.projections.stored import Stored, read_stored
from vdb.types import GroupId, TenantId

BUILD_EVENTS = 1_000
"""Events that a rebuild commits at once."""


def _say_nothing(event: str, **fields: object) -> None:
    """Nobody listens."""


@frozen(kw_only=True)
class Means:
    """What a projection needs of its node."""

    disk: Disk
    key_for: KeyFor
    source_for: Callable[[ProjectionConfig], EventSource]
    live: Live = nothing_is_live
    opening: trio.Semaphore = field(factory=lambda: trio.Semaphore(1))
    pause: float = 1.0
    """Seconds between two attempts when something holds it up."""
    inform: Callable[..., None] = _say_nothing
    """Told (event, **fields) of normal operation."""
    warn: Callable[..., None] = _say_nothing
    """Told (event, **fields) of what an operator should look at."""


async def begin(nursery: trio.Nursery, serving: Serving) -> None:
    """Run a generation's task. ConfigError where its file was made by another configuration."""
    try:
        await nursery.start(serving.run)
    except BaseExceptionGroup as errors:
        wrong, others = errors.split(ConfigError)
        if wrong is None or others is not None:
            raise
        found: BaseException = wrong
        while isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        raise found from None


class Opener:
    """Of one projection of one tenant. `versions`: its configurations that are here."""

    def __init__(
        self, tenant: TenantId, versions: Mapping[int, ProjectionConfig], means: Means, files: GenerationFiles
    ) -> None:
        self._tenant = tenant
        self._versions = versions
        self._newest = versions[max(versions)]
        self._means = means
        self._files = files

    async def peek(self, number: int) -> Stored | None:
        """What a generation's file says of itself; None where there is none, or none that can be read."""
        if not await self._means.disk.exists(self._files.path(number)):
            return None
        try:
            database = await self.open(number)
            try:
                return await database.read(read_stored)
            finally:
                await database.close()
        except DatabaseDamaged:
            mark("projector.damaged_at_start")
            return None

    async def open(self, number: int) -> Database:
        """Where the file's key may be still to come, others open meanwhile."""
        path, name = self._files.path(number), self._newest.name
        while True:
            await self._means.key_for(self._tenant, name)
            async with self._means.opening:
                key = await self._means.key_for(self._tenant, name)
                try:
                    return await self._means.disk.open_database(path, key)
                except WrongKey:
                    raise DatabaseDamaged(f"{path}: it doesn't open under its key") from None
                except KeyAwaited:
                    mark("projector.key_awaited")
            await trio.sleep(self._means.pause)

    async def serving(self, generation: Generation, live_from: Mapping[GroupId, int] | None) -> Serving | None:
        """Of the generation in use; `live_from`: by group, no event before has effects.

        None where neither the handlers of its version are here, nor rows that could be served without them.
        ConfigError, where its version is newer than those here: what reads its rows may not know their shape.
        """
        if generation.version > self._newest.version:
            raise ConfigError(
                f"its rows were made by version {generation.version}, newer than {self._newest.version}: give the node "
                "that version again, or go back to the rows of before with `vdb projection switch --back`, or build "
                "them anew with `vdb projection rebuild`"
            )
        config = self._versions.get(generation.version)
        source = WatchedSource(self._means.source_for(config or self._newest), self._tenant)
        if config is None:
            still = await self._still_rows(generation, source)
            return None if still is None else Serving(generation=generation, config=None, source=source, rows=still)
        effects_from = dict(live_from or {})
        floor: dict[GroupId, int] = {}

        def live(group: GroupId) -> int | None:
            start = self._means.live(group)
            return None if start is None else max(start, effects_from.get(group, 0))

        def on_set_aside(damage: DatabaseDamaged) -> None:
            floor.update(source.heads())
            self._tell_set_aside(damage)

        runner = self._runner(generation, config, source, live, on_set_aside=on_set_aside)
        return Serving(
            generation=generation, config=config, source=source, rows=runner, live_from=effects_from, floor=floor
        )

    async def _still_rows(self, generation: Generation, source: WatchedSource) -> StillRows | None:
        """None where the file has no rows that could be served; a damaged one is set aside."""
        database: Database | None = None
        try:
            database = await self.open(generation.number)
            stored = await database.read(read_stored)
        except DatabaseDamaged as error:
            mark("projector.still_rows_damaged")
            if database is not None:
                await database.close()
            await self._means.disk.set_database_aside(self._files.path(generation.number))
            self._tell_set_aside(error)
            return None
        if stored is None:
            await database.close()
            return None
        mark("projector.still_rows")
        return StillRows(database, self._tenant, self._newest.name, stored, source)

    def _tell_set_aside(self, damage: DatabaseDamaged) -> None:
        self._means.warn("projection.set_aside", reason=str(damage))

    def _runner(
        self, generation: Generation, config: ProjectionConfig, source: WatchedSource, live: Live, **more: Any
    ) -> ProjectionRunner:
        return ProjectionRunner(
            disk=self._means.disk,
            source=source,
            config=config,
            tenant=self._tenant,
            key_for=self._means.key_for,
            path=self._files.path(generation.number),
            live=live,
            opening=self._means.opening,
            pause=self._means.pause,
            on_failed=lambda error: self._means.warn("projection.stopped", reason=str(error)),
            on_effect_failed=lambda reason: self._means.warn("projection.effect_failed", reason=reason),
            **more,
        )

    def building(self, generation: Generation, config: ProjectionConfig) -> Serving:
        """Of one that is built beside: it has no effects, and gives way to those who append."""
        source = WatchedSource(self._means.source_for(config), self._tenant, gives_way=True)
        runner = self._runner(
            generation,
            config,
            source,
            nothing_is_live,
            batch_events=BUILD_EVENTS,
            on_set_aside=self._tell_set_aside,
        )
        return Serving(generation=generation, config=config, source=source, rows=runner)
