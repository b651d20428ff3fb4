"""What a group has on disk, opened in the order that recovery needs.

    groups/<group>/superblock     four copies; written last when a group is formatted
    groups/<group>/wal            ring of headers and ring of prepares
    groups/<group>/checkpoints/   kernel state and key store
    groups/<group>/log/           event log: a directory per tenant
    groups/<group>/sync/          a checkpoint of another replica on its way in

Recovery: superblock, then the checkpoint that it names, then the WAL above that checkpoint. A group without a
superblock was never formatted to its end, and is formatted again; whether that may happen, `identity` decides.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from hashlib import sha256

from attrs import frozen

from vdb.errors import DamagedData, DiskFailed, ForeignData, NewerFormat, WrongKey
from vdb.kernel.state import State
from vdb.kernel.tables import KERNEL_TABLES
from vdb.limits import Limits
from vdb.marks import mark
from vdb.ports import Disk
from vdb.storage.checkpoint import CheckpointStore
from vdb.storage.checkpoint_family import Tables
from vdb.storage.event_log import EventLog
from vdb.storage.staging import clear_overtaken, install
from vdb.storage.superblock import FILE_NAME as SUPERBLOCK_FILE
from vdb.storage.superblock import Superblock, SuperblockState
from vdb.storage.tables import StorageTable
from vdb.storage.wal import Journal
from vdb.types import GroupId
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import ALONE, ZERO_CHECKSUM

_CHECKPOINT_KEY = b"head"
_CHECKPOINT_ROW = struct.Struct(">32sQ")


@frozen(kw_only=True)
class CheckpointHead:
    """Checksum and last timestamp of the op that a checkpoint stands at."""

    checksum: bytes
    timestamp: int

    def rows(self) -> dict[int, dict[bytes, bytes | None]]:
        return {StorageTable.CHECKPOINT_HEAD: {_CHECKPOINT_KEY: _CHECKPOINT_ROW.pack(self.checksum, self.timestamp)}}


class CheckpointLost(DamagedData):
    """The checkpoint that the superblock names can't be read. Other members, if there are any, may have it."""

    def __init__(self, message: str, durable: SuperblockState) -> None:
        super().__init__(message)
        self.durable = durable


START = CheckpointHead(checksum=ZERO_CHECKSUM, timestamp=0)


@frozen(kw_only=True)
class GroupStorage:
    """All that is open of one group, and the state at its checkpoint."""

    disk: Disk
    directory: str
    superblock: Superblock
    journal: Journal
    checkpoints: CheckpointStore
    event_log: EventLog
    state: State
    head: CheckpointHead

    async def close(self) -> None:
        await self.journal.close()
        await self.event_log.close()
        await self.superblock.close()


def group_directory(group: GroupId) -> str:
    return f"groups/{group}"


def group_hash(cluster: bytes, group: GroupId) -> bytes:
    """What stands in every prepare's header: a prepare of another cluster or group is foreign."""
    return sha256(b"veritydb/v1/group" + cluster + group.encode()).digest()


async def is_formatted(disk: Disk, group: GroupId) -> bool:
    return await disk.exists(f"{group_directory(group)}/{SUPERBLOCK_FILE}")


async def format_group(
    disk: Disk,
    group: GroupId,
    *,
    cluster: bytes,
    limits: Limits,
    root_key_id: bytes,
    replica: int = 0,
    configuration: Configuration = ALONE,
    reserve: bool = False,
) -> None:
    """Make an empty group. The superblock comes last, so a crash before it leaves a group to be formatted again.

    `replica` is the node's number; `configuration` the founding one, or the guess of a node that joins. `reserve`: the
    WAL takes all its blocks at once.
    """
    directory = group_directory(group)
    await disk.make_directory(directory)
    await Journal.format(disk, directory, limits, group_hash(cluster, group), reserve=reserve)
    state = SuperblockState(
        cluster=cluster,
        group=group,
        replica=replica,
        configuration=configuration.pack(),
        limits=limits,
        root_key_id=root_key_id,
    )
    superblock = await Superblock.format(disk, directory, state)
    await superblock.close()


async def open_group(disk: Disk, group: GroupId, *, cluster: bytes, root_key_ids: Sequence[bytes]) -> GroupStorage:
    """Open and recover. WrongKey before anything is changed; DamagedData names what can't be trusted. CheckpointLost: a
    member among others that must come back from them first (`vdb.node.replication.rebuilding`).

    `root_key_ids`: of the root keys that the node was given. A checkpoint that state sync has made ready is installed
    first.
    """
    directory = group_directory(group)
    await install(disk, directory)
    superblock = await Superblock.open(disk, directory)
    durable = superblock.state
    if durable.cluster != cluster or durable.group != group:
        raise DamagedData(f"{directory}/superblock belongs to group {durable.group!r} of another cluster")
    hashed = group_hash(cluster, group)
    checkpoints = await CheckpointStore.open(disk, directory, group_hash=hashed)
    rows = await _load(checkpoints, superblock)
    await clear_overtaken(disk, directory, durable.checkpoint_op)
    state, head = _split_rows(rows, group, durable.limits)
    missing = [needed for needed in needed_root_keys(state, durable.root_key_id) if needed not in root_key_ids]
    if missing:
        await superblock.close()
        wrong = WrongKey(
            f"the root key given isn't the one that group {group!r} is under: expected key id "
            f"{' and '.join(key_id.hex() for key_id in missing)}, "
            f"found {' and '.join(key_id.hex() for key_id in root_key_ids)}; {_wanted_for(state, missing)}"
        )
        wrong.missing = missing[0]
        raise wrong
    event_log = await EventLog.open(disk, directory, durable.limits, rows, group_hash=hashed)
    journal = await Journal.open(
        disk,
        directory,
        limits=durable.limits,
        group_hash=hashed,
        with_peers=len(durable.members.members) > 1,
        checkpoint_op=durable.checkpoint_op,
        log_view=durable.log_view,
    )
    return GroupStorage(
        disk=disk,
        directory=directory,
        superblock=superblock,
        journal=journal,
        checkpoints=checkpoints,
        event_log=event_log,
        state=state,
        head=head,
    )


def needed_root_keys(state: State, founding: bytes) -> list[bytes]:
    """Ids of the root keys without which this state's keys don't all open, in order.

    `founding`: of the root key that the group was created with, which counts until a rotation has begun.
    """
    rotation = state.rotation()
    needed = {founding if rotation is None else rotation.root_key_id: None}
    needed |= dict.fromkeys(row.kek_id for row in state.tenant_keys() if not row.is_destroyed)
    return sorted(needed)


def _wanted_for(state: State, missing: Sequence[bytes]) -> str:
    """What each of these root keys wraps, in words."""
    wrapped = [row.kek_id for row in state.tenant_keys() if not row.is_destroyed]
    return ", ".join(
        f"{key_id.hex()} wraps the keys of {wrapped.count(key_id)} of {len(wrapped)} tenants"
        if key_id in wrapped
        else f"{key_id.hex()} is to wrap the keys of tenants that come"
        for key_id in missing
    )


async def _load(checkpoints: CheckpointStore, superblock: Superblock) -> Tables:
    durable = superblock.state
    try:
        return await checkpoints.load(durable.checkpoint_op, durable.checkpoint_id)
    except (DamagedData, ForeignData, NewerFormat, DiskFailed) as error:
        await superblock.close()
        if len(durable.members.members) == 1:
            raise
        mark("group_storage.checkpoint_lost")
        raise CheckpointLost(str(error), durable) from error


def _split_rows(
    rows: Mapping[int, Mapping[bytes, bytes]], group: GroupId, limits: Limits
) -> tuple[State, CheckpointHead]:
    state = State.from_rows(
        group,
        limits.sessions_max,
        ((table, key, value) for table in KERNEL_TABLES for key, value in rows.get(table, {}).items()),
        limits.event_ids_max,
    )
    packed = rows.get(StorageTable.CHECKPOINT_HEAD, {}).get(_CHECKPOINT_KEY)
    if packed is None:
        return state, START
    checksum, timestamp = _CHECKPOINT_ROW.unpack(packed)
    return state, CheckpointHead(checksum=checksum, timestamp=timestamp)
