"""The steward of projections: has them built anew on some node, switched, compared and switched back, under writes.

It also raises the version: from its next start on a node is given both versions of the projection, or the new one
alone. And it reads rows where it is, again and again: they never go back, but by a switch back.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random

import trio
from attrs import define, evolve, field

from sim.events.deeds import Fate, RowsRead
from sim.events.load import TENANT, EventsLoad
from sim.events.projecting import NAME, TABLE
from sim.inside import living
from sim.machine import Machine
from vdb.errors import VerityError
from vdb.node.gate.answers import RowDifferences
from vdb.node.gate.node_service import NodeService
from vdb.projections.config import ProjectionConfig
from vdb.projections.store import SqliteError
from vdb.types import GroupId, Position

REST_SECONDS = 0.3
WATCH_SECONDS = 0.05
LOOK_SECONDS = 1.0
LOOKS = 25
"""Right after a rebuild has begun: whoever reads then must find whole rows."""
KINDS = ("rebuild", "rebuild", "hold", "switch", "back", "diff", "raise", "retry", "retry", "drop")


@define(eq=False)
class Steward:
    load: EventsLoad
    random: Random
    projection: Callable[[int, int], ProjectionConfig]
    """Of a machine's number and a version."""
    who: str = "steward"
    _backs: dict[str, int] = field(factory=dict)
    """How often switches back of an incarnation have begun and ended: while one is on its way the number is odd."""
    _seen: dict[tuple[str, int], int] = field(factory=dict)
    """The place of the rows that an incarnation gave last, since so many switches back had begun or ended."""
    _raised: bool = False

    async def run(self) -> None:
        """Until the writers are done."""
        load = self.load
        await load.made.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            for _ in range(load.options.events_rebuilds):
                await trio.sleep(2 * REST_SECONDS * self.random.random())
                if not load.writing:
                    break
                await self._act()
            await load.wait_until_written()
            nursery.cancel_scope.cancel()

    async def _act(self) -> None:
        kind = self.random.choice(
            ("rebuild", "rebuild", "hold", "switch", "back", "diff", "raise", "retry", "retry", "drop")
        )
        if kind == "raise":
            self._raise_version()
        elif self.load.cluster.up:
            machine = self.random.choice(self.load.cluster.up)
            await self._inside(machine, partial(self._ask, machine.who, kind))

    async def _ask(self, who: str, kind: str, service: NodeService) -> None:
        told = 0
        if kind in ("rebuild", "hold"):
            await service.rebuild_projection(TENANT, NAME, hold=kind == "hold")
            for _ in range(LOOKS):
                await self._look(who, service)
        elif kind in ("retry", "drop"):
            told = await self._settle(service, drop=kind == "drop")
        elif kind == "diff":
            told = self._check_diff(who, await service.diff_projection(TENANT, NAME, 10))
        else:
            self._note_back(who, kind)
            try:
                told = await service.switch_projection(TENANT, NAME, back=kind == "back")
            finally:
                self._note_back(who, kind)
        self.load.trace.add(self.who, kind, who, told)

    async def _settle(self, service: NodeService, *, drop: bool) -> int:
        """Try what is parked again, one or all, or drop one."""
        parked = [one for one in await service.parked_events(TENANT, NAME, 100) if not one.skipped]
        if not parked or (not drop and self.random.random() < 0.4):
            return 0 if drop else await service.settle_parked(TENANT, NAME, "", drop=False)
        return await service.settle_parked(TENANT, NAME, str(self.random.choice(parked).position), drop=drop)

    def _note_back(self, who: str, kind: str) -> None:
        """When a switch back begins, and when it has ended."""
        if kind == "back":
            self._backs[who] = self._backs.get(who, 0) + 1

    def _check_diff(self, who: str, found: RowDifferences) -> int:
        """P5: rows of one version at one place don't differ."""
        same = found.position_before == found.position_after
        self.load.verdict.check(
            "P5",
            not same or not found.count or self._raised,
            f"{who}: {found.count} rows differ at {found.position_before}: {found.differences[:1]}",
        )
        return found.count

    def _raise_version(self) -> None:
        """From their next start on, of some machines."""
        self._raised = True
        both = self.random.random() < 0.6
        for machine in self.load.cluster:
            if self.random.random() < 0.7:
                others = tuple(one for one in machine.config.projections if one.name != NAME)
                given = tuple(self.projection(machine.number, version) for version in ((1, 2) if both else (2,)))
                machine.config = evolve(machine.config, projections=(*others, *given))
                self.load.trace.add(self.who, "raise", machine.name, both)

    # Watching --------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            if self.load.cluster.up:
                machine = self.random.choice(self.load.cluster.up)
                await self._inside(machine, partial(self._look, machine.who))
            await trio.sleep(WATCH_SECONDS * (0.5 + self.random.random()))

    async def _look(self, who: str, service: NodeService) -> None:
        """P2: rows of a node are those of some place of the log, and never of an earlier one than before."""
        load = self.load
        deed = RowsRead(who=f"{self.who} on {who}", asked=load.deeds.tick(), projection=NAME)
        backs = self._backs.get(who, 0)
        before = self._seen.get((who, backs), -1)
        with trio.move_on_after(LOOK_SECONDS):
            found = await service.rows(TENANT, NAME, TABLE, {}, (), 1000)
            places = {place.group: place.number for place in map(Position.parse, found.position.split())}
            deed.rows = tuple(tuple(row) for row in found.rows)
            deed.position = places.get(GroupId(load.group), 0)
            load.deeds.rows.append(deed)
            load.deeds.end(deed, Fate.DONE)
            if self._backs.get(who, 0) != backs or backs % 2:
                return
            load.verdict.check(
                "P2",
                load.rank(deed.position) >= load.rank(before),
                f"{who} gave rows of {before}, and then of {deed.position}",
            )
            self._seen[who, backs] = deed.position

    async def _inside(self, machine: Machine, work: Callable[[NodeService], Awaitable[None]]) -> None:
        with living(machine):
            assert machine.node is not None
            try:
                await work(machine.node.service)
            except (VerityError, SqliteError, trio.ClosedResourceError) as error:
                self.load.trace.add(self.who, machine.who, type(error).__name__, str(error))
            except Exception as error:
                if machine.is_alive():
                    text = "".join(traceback.format_exception(error)[-6:])
                    self.load.verdict.fail("error", f"the steward on {machine.name}: {error}\n{text}")
