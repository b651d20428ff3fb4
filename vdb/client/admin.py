"""Looking after a cluster: the status of its nodes, and changes of a group's members.

    async with vdb.connect("10.0.0.1:7140,10.0.0.2:7140") as client:
        for found in await client.cluster.statuses():
            print(found.address, found.problem or found.status.node)

A change goes to the group's primary, wherever it is, and returns once it is committed. Each can be asked for again:
what is done already changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
from attrs import frozen

from vdb.client import rpc_codec
from vdb.client.live_sessions import LiveSession, sessions_from
from vdb.client.router import Router
from vdb.errors import InvalidArgument, Timeout, VerityError
from vdb.status import NodeStatus
from vdb.types import GroupId

STATUS_SECONDS_MAX = 3.0
"""How long a node may take to say how it is."""


@frozen(kw_only=True)
class NodeReport:
    """What one node of a cluster said of itself."""

    address: str
    status: NodeStatus | None
    """None: it didn't answer."""
    problem: str = ""
    """Why not."""


class ClusterAdmin:
    """What `Client.cluster` gives. Numbers are those of nodes, groups a region's name or 'global'."""

    def __init__(self, router: Router, timeout: float) -> None:
        self._router = router
        self._timeout = timeout

    @property
    def addresses(self) -> list[str]:
        """Of the nodes that are known."""
        return self._router.addresses

    async def groups(self) -> tuple[GroupId, ...]:
        """All groups of the cluster that this client may use: regions by name, then the global group."""
        return await self._router.groups()

    async def statuses(self) -> list[NodeReport]:
        """Of all nodes: those whose addresses were given, and those that these name. In the order of their numbers."""
        reports: dict[str, NodeReport] = {}
        await self._router.groups()
        wanted = list(dict.fromkeys([*self._router.addresses, *self._router.holders]))
        while missing := [address for address in wanted if address not in reports]:
            async with anyio.create_task_group() as tasks:
                for address in missing:
                    tasks.start_soon(self._report, address, reports)
            wanted = [*wanted, *_named(reports)]
        return _one_each(reports)

    async def status_of(self, address: str) -> NodeStatus:
        """What the node at this address says of itself. ConnectionLost, Timeout."""
        with anyio.move_on_after(STATUS_SECONDS_MAX):
            link = await self._router.open(address)
            return rpc_codec.read_status(await link.call("status"))
        raise Timeout(f"no answer from {address} within {STATUS_SECONDS_MAX:g} s")

    async def _report(self, address: str, reports: dict[str, NodeReport]) -> None:
        try:
            reports[address] = NodeReport(address=address, status=await self.status_of(address))
        except VerityError as error:
            reports[address] = NodeReport(address=address, status=None, problem=str(error))

    async def sessions(self) -> list[LiveSession]:
        """Who is connected to any of the nodes. AccessDenied; ConnectionLost, Timeout where one is away."""
        found: list[LiveSession] = []
        await self._router.groups()
        for address in list(dict.fromkeys([*self._router.addresses, *self._router.holders])):
            with anyio.move_on_after(STATUS_SECONDS_MAX) as waiting:
                link = await self._router.open(address)
                found += sessions_from(address, await link.call("listSessions"))
            if waiting.cancelled_caught:
                raise Timeout(f"no answer from {address} within {STATUS_SECONDS_MAX:g} s")
        return found

    async def end_session(self, session: str) -> bool:
        """End a connection by its `id`; False if it is gone. AccessDenied, InvalidArgument, ConnectionLost."""
        address, _, number = session.rpartition("/")
        if not (number.isascii() and number.isdigit() and address):
            raise InvalidArgument(f"a session is named HOST:PORT/NUMBER; found {session!r}")
        link = await self._router.open(address)
        results = await link.call("endSession", lambda params: setattr(params, "session", int(number)))
        return bool(results.ended)

    async def add(
        self,
        group: str,
        node: int,
        *,
        name: str,
        peer_address: str,
        address: str,
        disk_id: bytes,
        region: str = "",
    ) -> int:
        """Make a node a learner of a group; the epoch of the configuration that holds then.

        PlacementViolation for a node of another `region` than the group's.
        """

        def build(params: Any) -> None:
            params.group, params.node, params.name = group, node, name
            params.peerAddress, params.address, params.diskId = peer_address, address, disk_id
            params.region = region

        return await self._change("addMember", group, build)

    async def promote(self, group: str, node: int) -> int:
        """Make a learner a voter. LearnerBehind until it has caught up."""
        return await self._change("promoteMember", group, _naming(group, node))

    async def remove(self, group: str, node: int) -> int:
        """Let a node go. InvalidArgument for the primary: it must abdicate before."""
        return await self._change("removeMember", group, _naming(group, node))

    async def recover(self, group: str, node: int, disk_id: bytes) -> int:
        """Make a member whose disk was lost a learner, known by its new disk."""

        def build(params: Any) -> None:
            params.group, params.node, params.diskId = group, node, disk_id

        return await self._change("recoverMember", group, build)

    async def abdicate(self, group: str) -> None:
        """Have the group's primary give up its view to another voter."""

        def build(params: Any) -> None:
            params.group = group

        await self._router.ask("abdicate", build, lambda _results: None, timeout=self._timeout, group=GroupId(group))

    async def _change(self, method: str, group: str, build: Callable[[Any], None]) -> int:
        def parse(results: Any) -> int:
            return int(results.epoch)

        return await self._router.ask(method, build, parse, timeout=self._timeout, group=GroupId(group))


def _naming(group: str, node: int) -> Callable[[Any], None]:
    def build(params: Any) -> None:
        params.group, params.node = group, node

    return build


def _named(reports: dict[str, NodeReport]) -> list[str]:
    """Addresses of the members that the nodes name."""
    found: dict[str, None] = {}
    for report in reports.values():
        for group in report.status.groups if report.status is not None else ():
            found.update({member.address: None for member in group.members if member.address})
    return list(found)


def _one_each(reports: dict[str, NodeReport]) -> list[NodeReport]:
    """One report for each node, though it may have been asked at two addresses; silent ones last."""
    by_number: dict[int, NodeReport] = {}
    silent: list[NodeReport] = []
    for report in reports.values():
        if report.status is None:
            silent.append(report)
        else:
            by_number.setdefault(report.status.number, report)
    return [by_number[number] for number in sorted(by_number)] + silent
