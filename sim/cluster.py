"""The machines of one run, with the network between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import trio
from attrs import define, field

from sim.machine import Machine
from sim.world.network import SimNetwork


@define(eq=False, kw_only=True)
class Cluster:
    """`machines` by node number. Node numbers are never reused, so a machine that is removed keeps its place."""

    network: SimNetwork
    machines: dict[int, Machine] = field(factory=dict)

    def __iter__(self) -> Iterator[Machine]:
        return iter(self.machines.values())

    def __len__(self) -> int:
        return len(self.machines)

    @property
    def crashes(self) -> int:
        return sum(machine.crashes for machine in self.machines.values())

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where clients find the nodes."""
        found = [machine.config.address for machine in self.machines.values()]
        return tuple(address for address in found if address is not None)

    @property
    def up(self) -> list[Machine]:
        """Those whose node has started."""
        return [machine for machine in self.machines.values() if machine.is_up]

    async def run(self) -> None:
        """All machines, until `stop`."""
        async with trio.open_nursery() as nursery:
            for machine in self.machines.values():
                nursery.start_soon(machine.run)

    async def stop(self) -> None:
        for machine in self.machines.values():
            await machine.stop()

    async def wait_until_up(self, wanted: Sequence[Machine] = ()) -> None:
        """Wait until these machines, or all that aren't held down, are up at once."""

        def missing() -> list[Machine]:
            return [machine for machine in wanted or self if not machine.is_up and not machine.is_held]

        while missing():
            await missing()[0].wait_until_up()

    def for_all(self, order: Callable[[Machine], object]) -> None:
        """Give an order to each machine."""
        for machine in self.machines.values():
            order(machine)
