"""What all clients of typed streams share: their deeds, the streams there are, and how much is left to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from random import Random

import trio
from attrs import define, field

from sim.cluster import Cluster
from sim.events.deeds import ConsumerSpec, Deed, Deeds, Fate
from sim.events.kinds import Fact, draw_fact, stream_name
from sim.machine import Machine
from sim.options import Options
from sim.raw_client import Connector
from sim.trace import Trace
from sim.verdict import Verdict
from vdb.client.client import Client
from vdb.errors import DefiniteError, VerityError
from vdb.ports import Entropy
from vdb.types import GLOBAL_GROUP, DataClass, GroupId

TENANT = 1
CLIENTS_FROM = 200
"""The first number of a client of this workload; consumers' members have others of their own."""
RETRY_SECONDS = 60.0


@define(eq=False, kw_only=True)
class EventsLoad:
    """`tell` wakes the nemesis; `facts` are all that clients ever meant to append, by their numbers."""

    options: Options
    cluster: Cluster
    random: Random
    verdict: Verdict
    trace: Trace
    region: str
    connectors: Callable[[int], Mapping[str, Connector]]
    learn: Callable[[int, str], Connector]
    entropy: Callable[[int], Entropy]
    tell: Callable[[], None]
    head: Callable[[], int]
    """Behind the last event of the streams that was ever committed."""
    rank: Callable[[int], int]
    """How many events of the streams lie before a position."""
    last: Callable[[ConsumerSpec], int]
    """The position of the last event that fits a consumer's filter; -1: none does."""
    deeds: Deeds = field(factory=Deeds)
    facts: dict[int, Fact] = field(factory=dict)
    group: str = field(init=False)
    data_class: DataClass = field(init=False)
    left: int = field(init=False)
    made: trio.Event = field(factory=trio.Event)
    """Set when the streams are there."""
    heads: dict[str, int] = field(factory=dict)
    """The largest next offset of each stream that a client was told."""
    positions: list[int] = field(factory=list)
    """Next positions of appends, as they were told."""
    times: dict[int, int] = field(factory=dict)
    """When events were appended, by their positions, as readers were told."""
    writing: int = 0
    """Clients that may still append."""
    _written: trio.Event = field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        options = self.options
        self.left = options.events_deeds if options.events else 0
        self.data_class = DataClass.NON_PHI if options.events_global else DataClass.PHI
        self.group = str(GLOBAL_GROUP) if options.events_global else self.region

    @property
    def progress(self) -> float:
        """Of 1."""
        return 1.0 - self.left / max(1, self.options.events_deeds) if self.options.events else 1.0

    @property
    def streams(self) -> list[str]:
        return [stream_name(number) for number in range(self.options.events_streams)]

    def client(self, number: int) -> Client:
        """A new one; of a member its numbers go on behind those of the writers."""
        own = CLIENTS_FROM + number
        return Client(
            self.connectors(own), entropy=self.entropy(own), tenant=TENANT, retry_for=RETRY_SECONDS,
            connect_for=3600.0, learn=lambda address: self.learn(own, address),
        )  # fmt: skip

    @property
    def life(self) -> int:
        """Of the node, if there is one alone."""
        return next(iter(self.cluster)).incarnation if self.options.nodes == 1 else 0

    def primary(self) -> Machine | None:
        """Whom a client that asks around finds; of several that think so, the first."""
        for machine in self.cluster.up:
            group = machine.node.groups.get(GroupId(self.group)) if machine.node is not None else None
            if group is not None and group.not_serving() is None:
                return machine
        return None

    def end_writing(self) -> None:
        """One of the clients has done what it had to."""
        self.writing -= 1
        if not self.writing:
            self._written.set()

    async def wait_until_written(self) -> None:
        await self._written.wait()

    def new_facts(self, random: Random, count: int, by: str) -> tuple[Fact, ...]:
        found = []
        for _ in range(count):
            fact = draw_fact(
                random, len(self.facts) + 1, patients=self.options.events_patients, poison=self.options.events_poison,
                by=by,
            )  # fmt: skip
            self.facts[fact.number] = fact
            found.append(fact)
        return tuple(found)

    async def recorded(self, deed: Deed, act: Callable[[], Awaitable[None]]) -> bool:
        """Do a deed and write down how it ended; whether it was done. `act` fills in what it was told."""
        try:
            await act()
            self.deeds.end(deed, Fate.DONE)
        except DefiniteError as error:
            self.deeds.end(deed, Fate.REFUSED, f"{type(error).__name__}: {error}")
        except VerityError as error:
            self.deeds.end(deed, Fate.UNKNOWN, f"{type(error).__name__}: {error}")
        except BaseException:
            self.deeds.end(deed, Fate.UNKNOWN, "it ended")
            raise
        finally:
            self.trace.add(deed.who, type(deed).__name__, deed.fate.value, deed.refusal)
            self.tell()
        return deed.fate is Fate.DONE
