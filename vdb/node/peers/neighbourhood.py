"""A node among the others: its connections, whose messages go to which group, and who the others are.

Rules
- Addresses are those of the configuration, unless the log or the state of a group names others since.
- The disk of a node is the one that it came with first, until a reconfiguration names another: that one is remembered,
  durably, before the node is let in with it. So is the one that it took the place of: a log that is read again after a
  restart, or another group that is behind, would else bring it back, and shut out a node whose voice may be needed.
- A founding node opens no group before it has met all other founding nodes of its groups (`vdb.node.peers.identity`).
- Messages of a region's group go to nodes of that region alone, and are heard from them alone, whatever a log or a
  message says. There are connections with those nodes that share a group with this one, and no others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

import trio

from vdb.kernel.command import MemberRow
from vdb.kernel.state import State
from vdb.marks import mark
from vdb.node import log
from vdb.node.config import NodeConfig
from vdb.node.peers.directory import Directory
from vdb.node.peers.hello import Regions, Revocations
from vdb.node.peers.identity import IdentityFile
from vdb.node.peers.peers import Peers
from vdb.node.replication.group import Group, Neighbours
from vdb.node.replication.group_storage import group_hash
from vdb.ports import World
from vdb.types import GLOBAL_GROUP, GroupId
from vdb.vsr.configuration import Configuration
from vdb.vsr.message import Message

_UNMET_WARNING_SECONDS = 10.0


class Hearer(Protocol):
    """A group, or what stands in for it until it is open."""

    def receive(self, message: Message) -> None: ...

    def lose(self, node: int) -> None: ...


class Neighbourhood:
    """One for a node that has an address for other nodes. `run` it once."""

    def __init__(
        self, world: World, config: NodeConfig, file: IdentityFile, revocations: Revocations | None = None
    ) -> None:
        identity = file.identity
        self._file = file
        self._config = config
        self._cluster = identity.cluster
        self._groups: dict[bytes, Hearer] = {}
        self._names: dict[bytes, GroupId] = {}
        self._rows: dict[GroupId, Mapping[int, MemberRow]] = {}
        self._named: dict[int, MemberRow] = {}
        """Nodes that a log names, committed or not."""
        self._regions = {member.node: config.region_of(member).name for member in config.members}
        self._disks_due: deque[tuple[int, bytes | None, bytes]] = deque()
        """Node, the disk that a log has replaced, and the one that took its place."""
        self._wake = trio.Event()
        self.peers = Peers(
            world=world,
            node=identity.number,
            cluster=identity.cluster,
            disk_id=identity.disk,
            addresses=self._addresses(),
            listen=config.peer_address,
            known=file,
            on_message=self._on_message,
            on_lost=self._on_lost,
            settings=config.peers,
            regions=Regions(own=config.region.name, several=len(config.regions) > 1, of=self.region_of),
            revocations=revocations,
        )

    async def run(self, task_status: trio.TaskStatus[str | None] = trio.TASK_STATUS_IGNORED) -> None:
        """Connect, until cancelled. StartError if the address can't be taken."""
        async with trio.open_nursery() as nursery:
            address = await nursery.start(self.peers.run)
            nursery.start_soon(self._remember_disks)
            task_status.started(address)

    async def wait_to_found(self) -> None:
        """Wait until all founding nodes were met, now or in an earlier life. ForgottenDisk says that it can't be."""
        unmet = self._file.identity.unmet()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._warn_while_unmet)
            await self.peers.wait_met(unmet)
            nursery.cancel_scope.cancel()

    async def _warn_while_unmet(self) -> None:
        while True:
            await trio.sleep(_UNMET_WARNING_SECONDS)
            for number in self._file.identity.unmet():
                refusal = self.peers.refusals().get(number)
                log.warning("node.waits_for", node=number, reason=log.reason(refusal) if refusal else "not connected")

    # Groups ----------------------------------------------------------------------------------------------------

    def neighbours(self, name: GroupId) -> Neighbours:
        """What a group is told of the others."""
        hashed = group_hash(self._cluster, name)
        peers = self.peers

        def send(to: int, message: Message) -> None:
            if not self.may_hold(name, to):
                mark("neighbourhood.not_sent_abroad")
                return
            peers.send(to, hashed, message)

        return Neighbours(
            send=send,
            directory=Directory(members={member.node: member for member in self._config.members}),
            clock_synchronised=self._is_synchronised,
            on_members=self.on_members,
            on_named=self.on_named,
        )

    def hear(self, name: GroupId, hearer: Hearer) -> None:
        """Messages for this group go there from now on."""
        hashed = group_hash(self._cluster, name)
        self._groups[hashed], self._names[hashed] = hearer, name

    def add(self, group: Group) -> None:
        """Messages for this group may come from now on."""
        self.hear(group.name, group)
        self._note_rows(group.name, group.state)

    def settle(self) -> None:
        """All groups were added. A disk that none of them names was replaced, and a crash came before it was noted."""
        for node in sorted({node: None for rows in self._rows.values() for node in rows}):
            named = [rows[node].disk_id for rows in self._rows.values() if node in rows]
            if self._file.remembered(node) not in named:
                self._note_disk(node, None, next((d for d in named if not self._file.was_replaced(node, d)), named[0]))
        self._wake.set()

    def on_members(self, name: GroupId, state: State) -> None:
        """A reconfiguration of this group was applied."""
        before = self._rows.get(name, {})
        self._note_rows(name, state)
        for row in state.members():
            held = before.get(row.node)
            self._note_disk(row.node, held.disk_id if held is not None else None, row.disk_id)
        self._wake.set()

    def _note_disk(self, node: int, before: bytes | None, disk: bytes) -> None:
        """A group's state names this disk; `before`: the one that it named until now."""
        if node == self.peers.node:
            return
        if self._file.was_replaced(node, disk):
            mark("neighbourhood.disk_of_the_past")
            return
        replaced = before if before != disk else None
        if replaced is not None or self._disks_due or self._file.remembered(node) != disk:
            self._disks_due.append((node, replaced, disk))

    def on_named(self, rows: Sequence[MemberRow]) -> None:
        """A log names these nodes."""
        self._named.update({row.node: row for row in rows})
        self.peers.set_addresses(self._addresses())

    def _note_rows(self, name: GroupId, state: State) -> None:
        self._rows[name] = {row.node: row for row in state.members()}
        self.peers.set_addresses(self._addresses())

    def _addresses(self) -> dict[int, str]:
        near = self._config.neighbours
        addresses = {member.node: member.peer_address for member in self._config.members if member.node in near}
        addresses.update({node: row.peer_address for node, row in self._named.items()})
        for rows in self._rows.values():
            addresses.update({node: row.peer_address for node, row in rows.items()})
        return addresses

    def region_of(self, node: int) -> str:
        """Where a node is: as the state of a group says, else as the configuration does; empty where neither knows."""
        for rows in self._rows.values():
            if node in rows and rows[node].region:
                return rows[node].region
        known = self._regions.get(node, "")
        return self._named[node].region if not known and node in self._named else known

    def may_hold(self, name: GroupId, node: int) -> bool:
        """Whether a node may have what belongs to this group: the global group is everybody's, a region's its own."""
        if name == GLOBAL_GROUP:
            return True
        return (self.region_of(node) or self._config.region.name) == name

    async def _remember_disks(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._disks_due:
                node, replaced, disk = self._disks_due[0]
                mark("neighbourhood.new_disk")
                if replaced is None:
                    await self._file.remember(node, disk)
                else:
                    await self._file.replace(node, replaced, disk)
                self._disks_due.popleft()

    def _is_synchronised(self, configuration: Configuration) -> bool:
        return self.peers.is_synchronised(configuration.voters, configuration.quorums.replication)

    def is_named_elsewhere(self, name: GroupId, node: int) -> bool:
        """Whether the state of another group than this one names the disk that the node is known by."""
        disk = self._file.remembered(node)
        others = [rows[node] for other, rows in self._rows.items() if other != name and node in rows]
        return any(row.disk_id == disk for row in others)

    def clock_offsets(self) -> dict[int, int]:
        """Microseconds, by node number: how far its clock is ahead of this node's, where that is known."""
        offsets = self.peers.clock().offsets
        return {node: (interval.low_us + interval.high_us) // 2 for node, interval in offsets.items()}

    def _on_message(self, hashed: bytes, sender: int, message: Message) -> None:
        group = self._groups.get(hashed)
        if group is None:
            mark("neighbourhood.unknown_group")
            return
        if not self.may_hold(self._names[hashed], sender):
            mark("neighbourhood.not_heard_from_abroad")
            log.warning("peer.foreign", group=self._names[hashed], peer=sender, region=self.region_of(sender))
            return
        group.receive(message)

    def _on_lost(self, node: int) -> None:
        for group in self._groups.values():
            group.lose(node)
