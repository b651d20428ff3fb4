"""Live RPC connections to the nodes of a cluster, and the way from a call to the node that answers it.

- `link` gives the connection to the node that is believed to be a group's primary, and makes one if there is none. It
  waits as long as it must; callers bound it by their own deadline.
- Reads go through `ask`: they change nothing, so they are simply asked again, on the next link or elsewhere.
- Whoever is told that a node isn't the primary calls `refused`, and the next `link` leads to another node.
- Each node says first where it is and which groups it holds (`regions`). What belongs to a group goes only over a link
  whose node has said that it holds it: so a region's data isn't sent out of it, also where an address leads elsewhere
  than it should. A client that is bound to a region uses no other region's groups at all.
- While an answer is late, the other nodes are asked whether one of them has taken over: a node that is stopped or cut
  off keeps its connections open.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import anyio
from anyio.abc import TaskStatus

from vdb.client.backoff import Backoff
from vdb.client.credentials import NOTHING, Credentials
from vdb.client.link import ANSWER_SECONDS_MAX, Link
from vdb.client.places import ask_places
from vdb.client.routes import AnyMember, Routes, Target, group_of
from vdb.client.tasks import LastingTasks
from vdb.errors import (
    ConnectionLost,
    InvalidArgument,
    NotAuthenticated,
    NotPrimary,
    NotReady,
    Overloaded,
    PlacementViolation,
    PrimaryLost,
    StartError,
    Timeout,
    Unreachable,
    VerityError,
)
from vdb.marks import mark
from vdb.ports import Entropy
from vdb.rpc.client import ByteStream, open_client
from vdb.rpc.interface import Interface
from vdb.types import GLOBAL_GROUP, Consistency, GroupId, ReadLevel
from vdb.wire.schema import verity

T = TypeVar("T")

Connector = Callable[[], Awaitable[ByteStream]]
"""Opens a byte stream with trio's names: `send_all`, `receive_some`, `aclose`. Raises ConnectionLost."""

OnLink = Callable[[str, bool], None]
"""Told of each link: the node's address, and True when the link is made, False when it is lost."""

Elsewhere = NotPrimary | NotReady | PrimaryLost
ELSEWHERE = (NotPrimary, NotReady, PrimaryLost)
"""What a node says that another one should be asked."""

INTERFACE = Interface.of(verity.VerityDb)

ATTEMPT_SECONDS_MAX = 2.0
"""How long one of several nodes may take to accept a connection, before the next is tried."""

PROBE_SECONDS_MAX = 1.0
"""How long a node may take to say who is primary, when another one is late."""


class Router:
    """Keeps links to the nodes of one cluster. All methods run in the loop of `tasks`."""

    def __init__(
        self,
        connectors: Mapping[str, Connector],
        entropy: Entropy,
        tasks: LastingTasks,
        learn: Callable[[str], Connector] | None = None,
        on_link: OnLink | None = None,
        region: str = "",
        credentials: Credentials = NOTHING,
    ) -> None:
        """`connectors` by address, at least one. `learn` makes one for an address that a node names. `credentials` are
        shown to each node.

        `region`: the only one that this client uses, besides the global group; empty: all.
        """
        self._region = region
        self._credentials = credentials
        self._connectors = dict(connectors)
        self._learn = learn
        self._on_link = on_link
        self._tasks = tasks
        self._entropy = entropy
        self._routes = Routes(entropy, list(connectors), GroupId(region) if region else None)
        self._links: dict[str, Link] = {}
        self._opening: dict[str, anyio.Lock] = {}
        self._finding: dict[Target, anyio.Lock] = {}
        self.last_error = "no attempt has ended yet"

    @property
    def addresses(self) -> list[str]:
        """Of the nodes that are known: those given, then those that were heard of."""
        return list(self._connectors)

    async def connect(self, within: float) -> None:
        """Make the first link; tries for `within` seconds, each node at least once. Unreachable if none answers."""
        deadline = anyio.current_time() + within
        backoff = Backoff(self._entropy)
        while True:
            for address in list(self._connectors):
                try:
                    await self._open(address)
                except ConnectionLost as error:
                    self.last_error = str(error)
                else:
                    self._routes.of(None).address = address
                    return
            delay = backoff.next_delay()
            if anyio.current_time() + delay > deadline:
                count = len(self._connectors)
                nobody = "no node answers" if count == 1 else f"none of {count} nodes answers; the last"
                raise Unreachable(
                    f"{nobody}: {self.last_error}; if none runs, start one with `vdb start` and wait until it is ready"
                )
            await anyio.sleep(delay)

    async def groups(self) -> tuple[GroupId, ...]:
        """All groups of the cluster that this client may use: regions by name, then the global group."""
        if not self._routes.groups:
            await self.link()
        return tuple(group for group in self._routes.groups if self._region in ("", group) or group == GLOBAL_GROUP)

    @property
    def holders(self) -> list[str]:
        """Addresses of the nodes that hold this client's groups, as far as the nodes have said."""
        groups = [group for group in self._routes.groups if self._region in ("", group) or group == GLOBAL_GROUP]
        return list(dict.fromkeys(address for group in groups for address in self._routes.holders(group)))

    def holders_of(self, group: GroupId) -> list[str]:
        """Addresses of the nodes that are known, or said, to hold a group; some may hold it no more."""
        return list(dict.fromkeys([*self._connectors, *self._routes.holders(group)]))

    @property
    def is_divided(self) -> bool:
        """Whether not every node holds every group: there are several regions, or nodes without the global group."""
        return self._routes.is_divided

    def target(self, group: GroupId, level: ReadLevel) -> Target:
        """Who answers a read of this group: its primary, or any node that holds it."""
        if level is Consistency.LINEARIZABLE:
            return group
        return AnyMember(group) if self.is_divided else None

    async def link(self, group: Target = None) -> Link:
        """The link that calls of this target go to (None: to any node); waits until there is one.

        PlacementViolation for a group that nobody holds, or that lies outside of the client's region.
        """
        if self._region and (group_of(group) or GLOBAL_GROUP) not in (self._region, GLOBAL_GROUP):
            raise PlacementViolation(
                f"this client is bound to region {self._region}: expected that or 'global', found {group_of(group)}"
            )
        link = self._ready_link(group)
        if link is not None:
            return link
        async with self._finding.setdefault(group, anyio.Lock()):
            while True:
                link = self._ready_link(group)
                if link is not None:
                    return link
                self._check_place(group)
                await self._advance(group)

    def refused(self, group: Target, link: Link, error: Elsewhere) -> None:
        """The link's node says that it isn't the one to ask."""
        mark("client.elsewhere")
        self.last_error = str(error)
        hint = error.primary if isinstance(error, NotPrimary) else ""
        known = self._knows(hint)
        if known and isinstance(group, str):
            self._routes.name(group, hint)
        self._routes.move(group, link.address, anyio.current_time(), hint if known else "")

    def succeeded(self, group: Target) -> None:
        """The node that calls of this target go to has answered one."""
        self._routes.succeeded(group)

    async def ask(
        self,
        method: str,
        build: Callable[[Any], None],
        parse: Callable[[Any], T],
        *,
        timeout: float,
        wait_seconds: float = 0.0,
        group: Target = None,
    ) -> T:
        """Call something that changes nothing, again after each lost connection, each Overloaded, at each new primary.

        `timeout` and `wait_seconds` (how long the node may hold the answer back) are seconds. Without a group any node
        is asked, and NotPrimary is the caller's; so where any member of a group is. Raises Timeout.
        """
        backoff = Backoff(self._entropy)
        with anyio.move_on_after(timeout + wait_seconds):
            while True:
                link = await self.link(group)
                try:
                    results = await link.call(method, build, wait_seconds=wait_seconds)
                except ConnectionLost as error:
                    self.last_error = str(error)
                except Overloaded as error:
                    self.last_error = str(error)
                    await anyio.sleep(backoff.next_delay())
                except ELSEWHERE as error:
                    if not isinstance(group, str) and isinstance(error, NotPrimary):
                        raise
                    self.refused(group, link, error)
                else:
                    self._routes.succeeded(group)
                    return parse(results)
        raise Timeout(f"no answer to {method} within {timeout + wait_seconds:g} s; last: {self.last_error}")

    async def open(self, address: str) -> Link:
        """The link to one node. ConnectionLost."""
        if not self._knows(address):
            raise ConnectionLost(f"no way to {address} is known")
        return await self._open(address)

    # -- finding a node

    def _ready_link(self, group: Target) -> Link | None:
        route = self._routes.of(group)
        link = self._links.get(route.address)
        ready = link is not None and link.usable and not route.pause and _holds(link, group)
        return link if ready else None

    def _check_place(self, target: Target) -> None:
        """Whether somebody holds this group. Its nodes are found by what others said of them, if need be."""
        group, known = group_of(target), self._routes.groups
        if group is None or not known:
            return
        if group not in known:
            raise PlacementViolation(f"no node holds a group '{group}': expected one of {', '.join(known)}")
        if self._routes.circle(target):
            return
        for address in self._routes.holders(group):
            self._knows(address)
        if not self._routes.circle(target):
            raise PlacementViolation(
                f"no way to a node that holds group '{group}' is known: nothing of it is sent to others"
            )

    async def _advance(self, group: Target) -> None:
        """One step towards a usable link: wait, leave a node that was lost, or try the one that the route names."""
        route = self._routes.of(group)
        if route.pause:
            pause, route.pause = route.pause, 0.0
            await anyio.sleep(pause)
            return
        address = route.address
        link = self._links.get(address)
        if link is not None and not link.usable:
            del self._links[address]
            self._routes.failed(address, anyio.current_time())
            self._routes.move(group, address, anyio.current_time())
            return
        if link is not None:
            mark("client.holds_another_group")
            self.last_error = (
                f"the node at {address} is in region {link.region} and doesn't hold group {group_of(group)}: nothing "
                "of the group is sent there"
            )
            self._routes.move(group, address, anyio.current_time())
            return
        try:
            await self._open(address)
        except ConnectionLost as error:
            self.last_error = str(error)
            self._routes.move(group, address, anyio.current_time())

    def _knows(self, address: str) -> bool:
        """Whether there is a way to this address; one is made if that can be."""
        if address in self._connectors:
            return True
        if not address or self._learn is None:
            return False
        try:
            self._connectors[address] = self._learn(address)
        except StartError as error:
            self.last_error = str(error)
            return False
        self._routes.learn(address)
        return True

    # -- links

    async def _open(self, address: str) -> Link:
        async with self._opening.setdefault(address, anyio.Lock()):
            held = self._links.get(address)
            if held is not None and held.usable:
                return held
            if len(self._connectors) == 1:
                stream = await self._try(address)
            else:
                stream = None
                with anyio.move_on_after(ATTEMPT_SECONDS_MAX):
                    stream = await self._try(address)
                if stream is None:
                    self._routes.failed(address, anyio.current_time(), silent=True)
                    raise ConnectionLost(f"no answer from {address} within {ATTEMPT_SECONDS_MAX:g} s")
            link: Link = await self._tasks.start(self._hold, address, stream)
            await self._introduce(link)
            self._links[address] = link
            self._routes.reached(address)
            return link

    async def _introduce(self, link: Link) -> None:
        """Show who asks, and have the node say where it is and what it holds, before anything else is said.

        ConnectionLost; NotAuthenticated for a credential that the node doesn't accept.
        """
        seconds = ANSWER_SECONDS_MAX if len(self._connectors) == 1 else ATTEMPT_SECONDS_MAX
        said, silent = None, True
        try:
            with anyio.move_on_after(seconds):
                if self._credentials.says_something:
                    await self._credentials.show(link)
                said = await ask_places(link)
        except (NotAuthenticated, InvalidArgument):
            silent = False
            raise
        except VerityError as error:
            silent = False
            raise ConnectionLost(f"the node at {link.address} doesn't say what it holds: {error}") from None
        finally:
            if said is None:
                link.lost.set()
                self._routes.failed(link.address, anyio.current_time(), silent=silent)
        if said is None:
            raise ConnectionLost(f"no answer from {link.address} within {seconds:g} s")
        link.region, link.groups = said.region, said.groups
        self._routes.introduced(link.address, said.groups, said.holders)

    async def _try(self, address: str) -> ByteStream:
        try:
            return await self._connectors[address]()
        except ConnectionLost:
            self._routes.failed(address, anyio.current_time())
            raise

    async def _hold(self, address: str, stream: ByteStream, *, task_status: TaskStatus[Link]) -> None:
        """Own a link's RPC client until the link is lost."""
        async with open_client(stream, INTERFACE) as rpc:
            link = Link(rpc, address, self._look_around, lambda: len(self._connectors) > 1)
            task_status.started(link)
            if self._on_link is not None:
                self._on_link(address, True)
            await link.watch()
        if self._on_link is not None:
            self._on_link(address, False)

    async def _look_around(self, late: Link) -> None:
        """Ask the others who is primary; give the link up if it is another node by now."""
        for address in list(self._connectors):
            if address == late.address or not late.usable or not self._routes.shares_group(address, late.groups):
                continue
            with anyio.move_on_after(PROBE_SECONDS_MAX):
                try:
                    link = await self._open(address)
                    results = await link.call("status")
                except VerityError:
                    continue
                if self._moves_away(late, results):
                    mark("client.left_late_node")
                    self._routes.failed(late.address, anyio.current_time(), silent=True)
                    late.lost.set()

    def _moves_away(self, late: Link, status: Any) -> bool:
        """Take another node's word for who is primary.

        Only of the groups that are led at the late node, as far as this client knows: that another group's primary is
        elsewhere says nothing of an answer that takes its time. Of a link that is used for no primary, all count.
        """
        led = [group for group in late.groups if self._routes.leads_to(group, late.address)]
        moved = False
        for said in status.groups:
            group, primary = GroupId(str(said.group)), str(said.primaryAddress)
            if group in (led or late.groups) and primary and primary != late.address and self._knows(primary):
                self._routes.move(group, late.address, anyio.current_time(), primary)
                moved = True
        return moved


def _holds(link: Link, target: Target) -> bool:
    group = group_of(target)
    return group is None or group in link.groups
