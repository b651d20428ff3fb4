"""Which node a call goes to: for each group the address that is believed to be its primary's. Pure bookkeeping.

Rules
- A node that says who is primary is believed, unless that one failed just now: it may be what the others still have to
  find out. A route without such a word goes round.
- The first move after a success costs no time; each further one waits, longer each time, so that nodes which know no
  primary aren't asked in a tight loop.
- Addresses that are heard of in an answer are used like those given.
"""

from __future__ import annotations

from attrs import define, field

from vdb.client.backoff import Backoff
from vdb.ports import Entropy
from vdb.types import GroupId

PAUSE_SECONDS_MAX = 0.06
"""Between two moves when there are several nodes: a new primary is found within this time of its first answer."""

AVOID_SECONDS = 0.3
"""An address whose connection broke, or that refused one, isn't believed to be a primary's for so long."""

AVOID_SILENT_SECONDS = 3.0
"""The same for one that didn't answer at all: trying it costs time."""


@define
class Route:
    """Where the calls of one group go now."""

    address: str
    backoff: Backoff
    pause: float = 0.0
    """Seconds to wait before the next try."""
    moves: int = 0
    """Since the last success."""


@define
class Routes:
    """One per client. `now` is the loop's time in seconds."""

    entropy: Entropy
    addresses: list[str]
    """At least one; in the order given, then those heard of."""
    _routes: dict[GroupId | None, Route] = field(factory=dict)
    _avoid_until: dict[str, float] = field(factory=dict)

    def of(self, group: GroupId | None) -> Route:
        """The route of a group; None: of calls that any node answers."""
        route = self._routes.get(group)
        if route is None:
            known = next(iter(self._routes.values()), None)
            address = self.addresses[0] if known is None else known.address
            route = self._routes[group] = Route(address, self._backoff())
        return route

    def learn(self, address: str) -> None:
        """There is a node at this address."""
        if address not in self.addresses:
            self.addresses.append(address)

    def failed(self, address: str, now: float, *, silent: bool = False) -> None:
        """A connection to this address broke or didn't come about."""
        self._avoid_until[address] = now + (AVOID_SILENT_SECONDS if silent else AVOID_SECONDS)

    def reached(self, address: str) -> None:
        """A connection came about."""
        self._avoid_until.pop(address, None)

    def succeeded(self, group: GroupId | None) -> None:
        """The node at the route's address answered as its group's primary, or as what it was asked to be."""
        route = self.of(group)
        route.moves = 0
        route.backoff.reset()

    def move(self, group: GroupId | None, away_from: str, now: float, hint: str = "") -> None:
        """Calls of this group were in vain at an address. `hint`: where it says that the primary is, or nothing."""
        route = self.of(group)
        if route.address != away_from:
            return
        believed = hint and hint != away_from and not self._avoided(hint, now)
        route.address = hint if believed else self._next(away_from, now)
        if route.moves or len(self.addresses) == 1:
            route.pause = route.backoff.next_delay()
        route.moves += 1

    def _next(self, address: str, now: float) -> str:
        """The next address in the circle; one that isn't avoided, if there is one."""
        place = self.addresses.index(address)
        circle = [*self.addresses[place + 1 :], *self.addresses[: place + 1]]
        return next((one for one in circle if not self._avoided(one, now)), circle[0])

    def _avoided(self, address: str, now: float) -> bool:
        return self._avoid_until.get(address, 0.0) > now

    def _backoff(self) -> Backoff:
        return Backoff(self.entropy) if len(self.addresses) == 1 else Backoff(self.entropy, longest=PAUSE_SECONDS_MAX)
