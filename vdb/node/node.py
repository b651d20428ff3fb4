"""A node: groups, projections and the RPC door on one world.

Order of a start: lock the data directory, take the address (so that a wrong one changes nothing on disk), read the
directory's identity, meet the other nodes if there are any, format groups that never were, open and recover each group,
start the projections, accept.
Whatever fails before is a StartError (or DamagedData) whose message says what to do; whatever fails later ends the
node, since a node that isn't sure of its disk or of its own invariants must not serve.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import trio

from vdb.crypto.keyring import Keyring
from vdb.errors import DamagedData, StartError, VerityError, WrongKey
from vdb.node import log
from vdb.node.audit.cosigning import Cosigning
from vdb.node.audit.recorder import Recorder
from vdb.node.config import NodeConfig
from vdb.node.crud.databases import CrudDatabases
from vdb.node.doors.accept import serve_connections
from vdb.node.erasure.cleaning import FileCleaner
from vdb.node.erasure.eraser import Eraser
from vdb.node.erasure.erasing import Erasing
from vdb.node.erasure.retaining import Retaining
from vdb.node.evidence.proving import Prover
from vdb.node.gate.node_service import NodeService
from vdb.node.gate.permits import Permits
from vdb.node.gate.reader import GroupReader
from vdb.node.gate.writes import Writes
from vdb.node.governance.carrying import PolicyCarrier
from vdb.node.governance.governing import Governance
from vdb.node.identity.identities import Identities
from vdb.node.keys.periods import Periods
from vdb.node.keys.root_poll import RootPoll
from vdb.node.keys.root_watch import RootWatch
from vdb.node.keys.rotating import KeyRotation
from vdb.node.observer import SILENT, Observer
from vdb.node.peers.identity import Identity, IdentityFile, open_identity
from vdb.node.peers.membership import Membership, Surroundings
from vdb.node.peers.neighbourhood import Neighbourhood
from vdb.node.preparing.preparer import Preparer
from vdb.node.projecting.file_rotation import FileRotation
from vdb.node.projecting.inline import InlineProjections
from vdb.node.projecting.projecting import ProjectionManager
from vdb.node.replication.group import Group
from vdb.node.replication.group_storage import CheckpointLost, GroupStorage, format_group, is_formatted, open_group
from vdb.node.replication.member import MemberSettings
from vdb.node.replication.rebuilding import Rebuilding
from vdb.ports import Listener, World
from vdb.types import GroupId
from vdb.version import VERSION


class Node:
    """One node on one world. `run` it once; a node that ended is not run again."""

    def __init__(self, world: World, config: NodeConfig, observer: Observer = SILENT) -> None:
        self.world = world
        self.config = config
        self.observer = observer
        self.groups: dict[GroupId, Group] = {}
        self.address: str | None = None
        self.neighbourhood: Neighbourhood | None = None
        """The other nodes; None for one that has no address for them."""
        self.peer_address: str | None = None
        """Where other nodes reach this one, with the real port."""
        self.file_rotation = FileRotation(())
        """Brings encrypted files under new keys."""
        self._service: NodeService | None = None

    @property
    def service(self) -> NodeService:
        """The gate. There from the moment that `run` reports its start."""
        assert self._service is not None, "the node hasn't started"
        return self._service

    async def run(self, task_status: trio.TaskStatus[str | None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start, report the address, and serve until cancelled. Raises one error of `vdb.errors`, not a group."""
        if not __debug__:
            raise StartError("VerityDB relies on its assertions: start Python without -O and PYTHONOPTIMIZE")
        try:
            await self._run(task_status)
        except BaseExceptionGroup as errors:
            raise first_cause(errors) from errors

    async def _run(self, task_status: trio.TaskStatus[str | None]) -> None:
        disk = self.world.disk
        identities = Identities(self.config.identity, self.world.clock.wall_us)
        await disk.lock()
        listener: Listener | None = None
        try:
            if self.config.address is not None:
                listener = await self.world.network.listen(self.config.address)
                self.address = listener.address
            file = await self._open_identity()
            async with trio.open_nursery() as nursery:
                if self.config.peer_address is not None:
                    self.neighbourhood = Neighbourhood(self.world, self.config, file, identities)
                    self.peer_address = await nursery.start(self.neighbourhood.run)
                    await self.neighbourhood.wait_to_found()
                await self._open_groups(file)
                roots = RootWatch(self.groups, self.config.reload_keys)
                root_poll = RootPoll(self.groups, roots.refresh)
                nursery.start_soon(roots.run)
                nursery.start_soon(root_poll.run)
                for group in self.groups.values():
                    await nursery.start(group.run)
                readers = {name: GroupReader(group) for name, group in self.groups.items()}
                projections = ProjectionManager(disk, readers, self.config.projections)
                inline = InlineProjections(projections, self.config.projections)
                writes = Writes(readers, inline if any(one.inline for one in self.config.projections) else None)
                governance = Governance(readers, self.config.region)
                permits = Permits(
                    readers,
                    GroupId(self.config.region.name),
                    node=self.config.name,
                    settings=self.config.gate,
                    book=governance.book,
                    recorder=Recorder(self.groups),
                    wall_us=self.world.clock.wall_us,
                )
                databases = CrudDatabases(
                    world=self.world,
                    readers=readers,
                    writes=writes,
                    projections=tuple(config.name for config in self.config.projections),
                )
                proofs = Prover(readers, self.config.root_keys, lambda: file.identity.disk)
                cosigning = Cosigning(
                    readers, proofs, self.world.network, disk, self.world.clock, self.config.cosigning
                )
                self._service = NodeService(
                    readers=readers,
                    writes=writes,
                    databases=databases,
                    region=self.config.region,
                    projections=projections,
                    membership=self._membership(file),
                    proofs=proofs,
                    cosigning=cosigning,
                    permits=permits,
                    erasing=Erasing(
                        readers,
                        self.config.region,
                        root_keys=self.config.root_keys,
                        disk_id=lambda: file.identity.disk,
                    ),
                    retaining=Retaining(readers, self.config.region),
                    keys=KeyRotation(
                        readers,
                        self.config.region,
                        node=self.config.name,
                        provider=self.config.root_keys.source,
                        refresh=roots.refresh,
                        files_behind=lambda: self.file_rotation.behind,
                        lacking=root_poll.lacking,
                    ),
                    governance=governance,
                    clock=self.world.clock,
                    name=self.config.name,
                    version=VERSION,
                )
                eraser = Eraser(
                    groups=self.groups,
                    node=self.config.name,
                    disk_id=lambda: file.identity.disk,
                    remembered=file.remembered,
                    cleaners=(FileCleaner(projections, databases),),
                )
                await nursery.start(permits.run)
                await nursery.start(PolicyCarrier(self.groups).run)
                await nursery.start(projections.run)
                await nursery.start(inline.run)
                await nursery.start(databases.run)
                self.file_rotation = FileRotation(
                    [(projections.keys, projections.renew_one), (databases.keys, databases.rekey)]
                )
                nursery.start_soon(self.file_rotation.run)
                nursery.start_soon(Periods(readers, self.config.key_period_days).run)
                await nursery.start(self._service.sql.run)
                await nursery.start(eraser.run)
                if cosigning.witnesses:
                    nursery.start_soon(cosigning.run)
                if listener is not None or self.config.peer_address is not None:
                    await nursery.start(identities.run)
                if listener is not None:
                    await nursery.start(
                        serve_connections, listener, self.config, self._service, self.world.network, identities
                    )
                log.info("node.started", region=self.config.region.name, address=self.address, version=VERSION)
                task_status.started(self.address)
        finally:
            with trio.CancelScope(shield=True):
                if listener is not None:
                    await listener.aclose()
                for group in self.groups.values():
                    await group.storage.close()
                await disk.close()

    def _membership(self, file: IdentityFile) -> Membership:
        around = self.neighbourhood
        return Membership(
            Surroundings(
                config=self.config,
                address=self.address or "",
                disk_id=file.identity.disk,
                remembered=file.remembered,
                was_replaced=file.was_replaced,
                is_named_elsewhere=around.is_named_elsewhere if around is not None else lambda _group, _node: False,
                clock_offsets=around.clock_offsets if around is not None else dict,
            )
        )

    async def _open_identity(self) -> IdentityFile:
        identity = await open_identity(
            self.world.disk,
            node=self.config.name,
            region=self.config.region,
            entropy=self.world.entropy,
            number=self.config.node,
            cluster=self.config.cluster,
            founding=self.config.founding,
            groups=self.config.groups if self.config.members else (),
        )
        return IdentityFile(self.world.disk, identity)

    async def _open_groups(self, file: IdentityFile) -> None:
        if not file.identity.ready:
            await self._format(file.identity)
            await file.mark_ready()
        for name in file.identity.groups:
            self.groups[name] = await self._open_group(file.identity, name)
            if self.neighbourhood is not None:
                self.neighbourhood.add(self.groups[name])
        if self.neighbourhood is not None:
            self.neighbourhood.settle()

    async def _format(self, identity: Identity) -> None:
        for name in identity.groups:
            if not await is_formatted(self.world.disk, name):
                await format_group(
                    self.world.disk,
                    name,
                    cluster=identity.cluster,
                    limits=self.config.limits,
                    root_key_id=self.config.root_keys.for_group(name).key_id,
                    replica=identity.number,
                    configuration=self.config.first_configuration(name),
                    reserve=self.config.reserve_wal,
                )

    async def _open_group(self, identity: Identity, name: GroupId) -> Group:
        if not await is_formatted(self.world.disk, name):
            raise DamagedData(f"group '{name}' has lost its superblock: the data directory isn't whole")
        roots = self.config.root_keys.ring(name)
        try:
            storage = await self._open_storage(identity, name, roots.ids)
        except WrongKey as error:
            if not error.missing:
                raise
            told = WrongKey(f"{error}. Put it {self.config.root_keys.place}, and start the node again")
            told.missing = error.missing
            raise told from None
        keyring = Keyring(group=name, root=roots.wrapping_with(storage.superblock.state.root_key_id))
        preparer = Preparer(region=name, keyring=keyring, entropy=self.world.entropy)
        return Group(
            name=name,
            world=self.world,
            storage=storage,
            preparer=preparer,
            observer=self.observer,
            settings=MemberSettings(
                timing=self.config.timing,
                tick_s=self.config.tick_s,
                scrub_period_s=self.config.scrub_period_s,
                joins=identity.joins,
                disk=identity.disk,
            ),
            neighbours=self.neighbourhood.neighbours(name) if self.neighbourhood is not None else None,
        )

    async def _open_storage(self, identity: Identity, name: GroupId, root_key_ids: Sequence[bytes]) -> GroupStorage:
        """Once more, with what the other members have, when the group's checkpoint is lost."""
        while True:
            try:
                return await open_group(self.world.disk, name, cluster=identity.cluster, root_key_ids=root_key_ids)
            except CheckpointLost as lost:
                if self.neighbourhood is None:
                    raise
                rebuilding = Rebuilding(lost=lost, disk=self.world.disk, send=self.neighbourhood.neighbours(name).send)
                self.neighbourhood.hear(name, rebuilding)
                await rebuilding.run()


def first_cause(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error that says why a node ended: a broken invariant before an operating error before the rest."""
    leaves = [leaf for leaf in _leaves(errors) if not isinstance(leaf, trio.Cancelled)]
    if not leaves:
        return next(iter(_leaves(errors)))
    interrupts = [leaf for leaf in leaves if not isinstance(leaf, Exception)]
    if interrupts:
        return interrupts[0]
    for kind in (AssertionError, VerityError):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    return leaves[0]


def _leaves(errors: BaseExceptionGroup[BaseException]) -> Iterable[BaseException]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
