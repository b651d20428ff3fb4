"""Which node a call goes to: for each group the address that is believed to be its primary's. Pure bookkeeping.

Rules
- A node that says who is primary is believed, unless that one failed just now: it may be what the others still have to
  find out. A route without such a word goes round.
- The first move after a success costs no time; each further one waits, longer each time, so that nodes which know no
  primary aren't asked in a tight loop.
- Addresses that are heard of in an answer are used like those given.
- What belongs to a group goes to nodes that hold it. An address of which nobody has said what it holds may be tried:
  the node there says so itself before it is sent anything (`vdb.client.router`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, field, frozen

from vdb.client.backoff import Backoff
from vdb.ports import Entropy
from vdb.types import GLOBAL_GROUP, GroupId

PAUSE_SECONDS_MAX = 0.06
"""Between two moves when there are several nodes: a new primary is found within this time of its first answer."""

AVOID_SECONDS = 0.3
"""An address whose connection broke, or that refused one, isn't believed to be a primary's for so long."""

AVOID_SILENT_SECONDS = 3.0
"""The same for one that didn't answer at all: trying it costs time."""


@frozen
class AnyMember:
    """Of calls that any node may answer that holds this group."""

    group: GroupId


Target = GroupId | AnyMember | None
"""Whom a call is for: a group's primary, any node that holds a group, any node."""


def group_of(target: Target) -> GroupId | None:
    """The group that a call is about; None: it says so itself, or it is about the node."""
    return target.group if isinstance(target, AnyMember) else target


@define
class Route:
    """Where the calls of one target go now."""

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
    home: GroupId | None = None
    """The group whose nodes are asked what any node answers; None: all are."""
    _routes: dict[Target, Route] = field(factory=dict)
    _told: dict[str, tuple[GroupId, ...]] = field(factory=dict)
    """What a node holds, as it said itself, by address."""
    _named: dict[GroupId, tuple[str, ...]] = field(factory=dict)
    """Who holds a group, as others say."""
    _avoid_until: dict[str, float] = field(factory=dict)

    def of(self, target: Target) -> Route:
        """The route of a target."""
        route = self._routes.get(target)
        if route is None:
            known = next(iter(self._routes.values()), None)
            address = self.addresses[0] if known is None else known.address
            route = self._routes[target] = Route(address, self._backoff())
        circle = self.circle(target)
        if circle and route.address not in circle:
            route.address = circle[0]
        return route

    def leads_to(self, target: Target, address: str) -> bool:
        """Whether calls of this target have been made, and go to this address now."""
        return target in self._routes and self.of(target).address == address

    # Who holds what --------------------------------------------------------------------------------------------

    @property
    def groups(self) -> tuple[GroupId, ...]:
        """All that were heard of: regions by name, then the global group."""
        found = dict.fromkeys([*self._named, *(group for groups in self._told.values() for group in groups)])
        return tuple(sorted(found, key=lambda group: (group == GLOBAL_GROUP, group)))

    @property
    def is_divided(self) -> bool:
        """Whether some node lacks a group, as far as they have said."""
        groups = self.groups
        lacking = any(group not in told for told in self._told.values() for group in groups)
        held = list(self._named.values())
        return lacking or any(sorted(holders) != sorted(held[0]) for holders in held)

    def introduced(self, address: str, groups: tuple[GroupId, ...], named: Mapping[GroupId, tuple[str, ...]]) -> None:
        """A node said what it holds, and who holds what as far as it knows: of its own groups it knows best."""
        self._told[address] = groups
        for group, holders in named.items():
            if group in groups or group not in self._named:
                self._named[group] = holders

    def holders(self, group: GroupId) -> tuple[str, ...]:
        """Addresses at which a group is held, as others say."""
        return self._named.get(group, ())

    def name(self, group: GroupId, address: str) -> None:
        """A node that holds the group says that the one at this address does, too."""
        named = self._named.get(group, ())
        if address not in named:
            self._named[group] = (*named, address)

    def circle(self, target: Target) -> list[str]:
        """The addresses that calls of this target may go to."""
        group = group_of(target) or self.home
        return self.addresses if group is None else [one for one in self.addresses if self._may_hold(one, group)]

    def shares_group(self, address: str, groups: Sequence[GroupId]) -> bool:
        """Whether the node at this address may hold one of these groups."""
        return any(self._may_hold(address, group) for group in groups)

    def _may_hold(self, address: str, group: GroupId) -> bool:
        told = self._told.get(address)
        if told is not None:
            return group in told
        named = [one for one, holders in self._named.items() if address in holders]
        return not named or group in named

    # Where calls go --------------------------------------------------------------------------------------------

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

    def succeeded(self, target: Target) -> None:
        """The node at the route's address answered as its group's primary, or as what it was asked to be."""
        route = self.of(target)
        route.moves = 0
        route.backoff.reset()

    def move(self, target: Target, away_from: str, now: float, hint: str = "") -> None:
        """Calls of this target were in vain at an address. `hint`: where it says that the primary is, or nothing."""
        route = self.of(target)
        if route.address != away_from:
            return
        believed = hint and hint != away_from and not self._avoided(hint, now)
        others = self.circle(target) or [away_from]
        route.address = hint if believed else self._next(others, away_from, now)
        if route.moves or len(others) == 1:
            route.pause = route.backoff.next_delay()
        route.moves += 1

    def _next(self, addresses: Sequence[str], address: str, now: float) -> str:
        """The next address in the circle; one that isn't avoided, if there is one."""
        place = addresses.index(address) if address in addresses else -1
        circle = [*addresses[place + 1 :], *addresses[: place + 1]]
        return next((one for one in circle if not self._avoided(one, now)), circle[0])

    def _avoided(self, address: str, now: float) -> bool:
        return self._avoid_until.get(address, 0.0) > now

    def _backoff(self) -> Backoff:
        return Backoff(self.entropy) if len(self.addresses) == 1 else Backoff(self.entropy, longest=PAUSE_SECONDS_MAX)
