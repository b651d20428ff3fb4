"""The same methods as `ClusterAdmin`, for programs without an event loop. Thread-safe."""

from __future__ import annotations

from functools import partial

from vdb.client.admin import ClusterAdmin, NodeReport
from vdb.client.live_sessions import LiveSession
from vdb.client.sync_sql import Run
from vdb.status import NodeStatus
from vdb.types import GroupId


class SyncClusterAdmin:
    """What `SyncClient.cluster` gives. Numbers are those of nodes, groups a region's name or 'global'."""

    def __init__(self, admin: ClusterAdmin, run: Run) -> None:
        self._admin = admin
        self._run = run

    @property
    def addresses(self) -> list[str]:
        """Of the nodes that are known."""
        return self._admin.addresses

    def groups(self) -> tuple[GroupId, ...]:
        """All groups of the cluster that this client may use: regions by name, then the global group."""
        return self._run(self._admin.groups)

    def statuses(self) -> list[NodeReport]:
        """Of all nodes: those whose addresses were given, and those that these name. In the order of their numbers."""
        return self._run(self._admin.statuses)

    def status_of(self, address: str) -> NodeStatus:
        """What the node at this address says of itself. ConnectionLost, Timeout."""
        return self._run(partial(self._admin.status_of, address))

    def sessions(self) -> list[LiveSession]:
        """Who is connected to any of the nodes. AccessDenied; ConnectionLost, Timeout where one is away."""
        return self._run(self._admin.sessions)

    def end_session(self, session: str) -> bool:
        """End a connection by its `id`; False if it is gone. AccessDenied, InvalidArgument, ConnectionLost."""
        return self._run(partial(self._admin.end_session, session))

    def add(
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
        return self._run(
            partial(
                self._admin.add,
                group,
                node,
                name=name,
                peer_address=peer_address,
                address=address,
                disk_id=disk_id,
                region=region,
            )
        )

    def promote(self, group: str, node: int) -> int:
        """Make a learner a voter. LearnerBehind until it has caught up."""
        return self._run(partial(self._admin.promote, group, node))

    def remove(self, group: str, node: int) -> int:
        """Let a node go. InvalidArgument for the primary: it must abdicate before."""
        return self._run(partial(self._admin.remove, group, node))

    def recover(self, group: str, node: int, disk_id: bytes) -> int:
        """Make a member whose disk was lost a learner, known by its new disk."""
        return self._run(partial(self._admin.recover, group, node, disk_id))

    def abdicate(self, group: str) -> None:
        """Have the group's primary give up its view to another voter."""
        return self._run(partial(self._admin.abdicate, group))
