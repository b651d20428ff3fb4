"""Which machine of a run is in which region, and which groups it holds.

Machines are dealt out to the regions one by one. The first ones of each region hold the global group as well; the
others hold nothing but their region's.
"""

from __future__ import annotations

from attrs import frozen

from vdb.types import GLOBAL_GROUP

REGION = "eu-west-1"
REGIONS = (REGION, "us-east-1", "ap-south-1")


@frozen(kw_only=True)
class Regions:
    """`count` regions for `nodes` founding members and `spares`. `shared`: so many of each region hold the global
    group; 0: all."""

    count: int
    nodes: int
    spares: int = 0
    shared: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        return REGIONS[: max(1, min(self.count, self.nodes))]

    @property
    def groups(self) -> tuple[str, ...]:
        """Of the whole cluster."""
        return (*self.names, str(GLOBAL_GROUP))

    def of(self, number: int) -> str:
        """Where a machine is; so for the number of a client."""
        return self.names[number % len(self.names)]

    def holds_global(self, number: int) -> bool:
        return not self.shared or number // len(self.names) < self.shared

    def groups_of(self, number: int) -> tuple[str, ...]:
        """What a machine holds."""
        return (self.of(number), str(GLOBAL_GROUP)) if self.holds_global(number) else (self.of(number),)

    def founders(self, group: str) -> tuple[int, ...]:
        """The machines with which a group begins."""
        return tuple(number for number in range(self.nodes) if group in self.groups_of(number))

    def holders(self, group: str) -> tuple[int, ...]:
        """Its founders, and the spare machines that may join it."""
        return tuple(number for number in range(self.nodes + self.spares) if group in self.groups_of(number))
