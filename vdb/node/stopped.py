"""A node that is stopped, as it is read: its logs and their trees, with no server, no other node and no client.

Rules
- Nothing is proposed, no view changes, nobody is heard. What the node's own log says is committed is applied, as at a
  start; work on a copy to leave the directory as it was.
- A member of a cluster may not have heard of the last commits: what it shows may be behind, and is never ahead.
- Heads are signed with the node's own key: it is derived from the root key and the node's disk, which lie here.
"""

from __future__ import annotations

import trio

from vdb.audit.page import AuditPage
from vdb.audit.search import AuditSearch
from vdb.crypto.keyring import Keyring
from vdb.crypto.root import RootKeys
from vdb.errors import InvalidArgument
from vdb.kernel.governance import held_policy
from vdb.node.audit.reading import AuditReader
from vdb.node.evidence.proving import Prover
from vdb.node.evidence.stored import StoredLogs
from vdb.node.gate.reader import GroupReader
from vdb.node.observer import SILENT
from vdb.node.peers.identity import Identity, read_identity
from vdb.node.preparing.preparer import Preparer
from vdb.node.replication.group import Group
from vdb.node.replication.group_storage import open_group
from vdb.node.replication.member import MemberSettings
from vdb.ports import World
from vdb.types import GroupId, TenantId

_NEVER_SECONDS = 10 * 365 * 86_400.0


class StoppedNode(StoredLogs):
    """`run` it once, and ask while it runs."""

    def __init__(self, world: World, root_keys: RootKeys) -> None:
        self._opened: dict[GroupId, GroupReader] = {}
        super().__init__(self._opened)
        self._world = world
        self._root_keys = root_keys
        self._identity: Identity | None = None
        self._proofs: Prover | None = None

    @property
    def identity(self) -> Identity:
        assert self._identity is not None, "the directory wasn't opened"
        return self._identity

    @property
    def proofs(self) -> Prover:
        """Heads and proofs, as far as this node knows what is committed."""
        assert self._proofs is not None, "the directory wasn't opened"
        return self._proofs

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open the directory, and hold it until cancelled. DataDirectoryInUse, ForeignData, DamagedData, WrongKey."""
        disk = self._world.disk
        await disk.lock()
        groups: list[Group] = []
        try:
            self._identity = await read_identity(disk)
            async with trio.open_nursery() as nursery:
                for name in self._identity.groups:
                    groups.append(await self._open(name))
                    await nursery.start(groups[-1].run)
                    self._opened[name] = GroupReader(groups[-1])
                self._proofs = Prover(self._opened, self._root_keys, lambda: self.identity.disk, alone=True)
                task_status.started()
        finally:
            with trio.CancelScope(shield=True):
                for group in groups:
                    await group.storage.close()
                await disk.close()

    async def _open(self, name: GroupId) -> Group:
        roots, identity = self._root_keys.ring(name), self.identity
        storage = await open_group(self._world.disk, name, cluster=identity.cluster, root_key_ids=roots.ids)
        keyring = Keyring(group=name, root=roots.wrapping_with(storage.superblock.state.root_key_id))
        return Group(
            name=name,
            world=self._world,
            storage=storage,
            preparer=Preparer(region=name, keyring=keyring, entropy=self._world.entropy),
            observer=SILENT,
            settings=MemberSettings(scrub_period_s=_NEVER_SECONDS, disk=identity.disk, looks=True),
        )

    # What is asked ---------------------------------------------------------------------------------------------

    async def entries(
        self, group: GroupId, tenant: TenantId, first: int, count: int, search: AuditSearch, *, sealed: bool
    ) -> AuditPage:
        """`AuditReader.records`."""
        entries = AuditReader(self._opened, self.proofs.leaves)
        return await entries.records(tenant, group, first, count, search=search, sealed=sealed)

    def policy(self, group: GroupId) -> tuple[str, str]:
        """Version and text of the policy that holds in a group; empty for none. InvalidArgument."""
        if group not in self._opened:
            raise InvalidArgument(f"this node has no group '{group}': expected one of {', '.join(self._opened)}")
        row = held_policy(self._opened[group].group.state)
        return ("", "") if row is None else (row.version, row.text)
