"""The node's file: what a data directory is, and whether its groups were made to the end.

File `node`: JSON with these keys, and a SHA-256 over the rest in `checksum`.

    format   "veritydb-node"         version  1
    cluster  32 hex digits: the configuration's, or drawn when the directory is created
    node     the node's name          region   the region it belongs to
    groups   the names of its groups  ready    false until all of them were formatted
    number   the node's, in its cluster
    disk     32 hex digits, drawn when the directory is created: what tells this disk from one that replaces it
    founding numbers of the nodes with which the cluster begins, this one's too; none for a node that joins one
    peers    disks of other nodes, by number: each as it came first, or as the cluster says since
    replaced disks of other nodes, by number, that a group's log has replaced: they never count again

It is written beside its place, synced and renamed, so a crash leaves the old one or the new one. While `ready` is
false a group without a superblock is formatted; once it is true, a group without one is damage.

A founding node takes part only once it has met all others. So one whose disk was replaced, and which would found
its cluster a second time, gets nowhere: the others know its first disk.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import trio
from attrs import evolve, field, frozen

from vdb.errors import DamagedData, ForeignData, NewerFormat
from vdb.ports import Disk, Entropy
from vdb.types import GLOBAL_GROUP, GroupId, Region

FILE_NAME = "node"
_DRAFT = "node.new"
_OWN_BEFORE_NODE = ("LOCK", _DRAFT)
FORMAT = "veritydb-node"
FORMAT_VERSION = 1
ID_SIZE = 16
"""Bytes of a cluster's and of a disk's id."""


@frozen(kw_only=True)
class Identity:
    """See the module's docstring."""

    cluster: bytes
    node: str
    region: Region
    groups: tuple[GroupId, ...]
    ready: bool
    number: int = 0
    disk: bytes = field(default=bytes(ID_SIZE), repr=False)
    founding: tuple[int, ...] = (0,)
    peers: tuple[tuple[int, bytes], ...] = ()
    replaced: tuple[tuple[int, bytes], ...] = ()

    @property
    def joins(self) -> bool:
        """Whether this node came to a cluster that was there."""
        return not self.founding

    def unmet(self) -> tuple[int, ...]:
        """Founding nodes that this one hasn't met yet."""
        met = dict(self.peers)
        return tuple(number for number in self.founding if number != self.number and number not in met)


class IdentityFile:
    """The identity and the file that it lies in. Remembers disks of other nodes (`vdb.node.peers.hello.DiskIds`)."""

    def __init__(self, disk: Disk, identity: Identity) -> None:
        self.identity = identity
        self._disk = disk
        self._lock = trio.Lock()

    def remembered(self, node: int) -> bytes | None:
        return dict(self.identity.peers).get(node)

    async def remember(self, node: int, disk_id: bytes) -> None:
        """Durable when it returns; another disk than before takes its place."""
        async with self._lock:
            if self.remembered(node) == disk_id:
                return
            peers = {**dict(self.identity.peers), node: disk_id}
            await self._change(evolve(self.identity, peers=tuple(sorted(peers.items()))))

    def was_replaced(self, node: int, disk_id: bytes) -> bool:
        """Whether the log of a group has put another disk in the place of this one."""
        return (node, disk_id) in self.identity.replaced

    async def replace(self, node: int, old: bytes, new: bytes) -> None:
        """The log of a group says that `new` took the place of `old`. Durable when it returns."""
        async with self._lock:
            replaced = self.identity.replaced
            if (node, old) not in replaced:
                replaced = tuple(sorted((*replaced, (node, old))))
            peers = {**dict(self.identity.peers), node: new}
            changed = evolve(self.identity, peers=tuple(sorted(peers.items())), replaced=replaced)
            if changed != self.identity:
                await self._change(changed)

    async def mark_ready(self) -> None:
        """All groups are formatted: from now on none may be missing."""
        async with self._lock:
            await self._change(evolve(self.identity, ready=True))

    async def _change(self, identity: Identity) -> None:
        await _write(self._disk, identity)
        self.identity = identity


async def open_identity(
    disk: Disk,
    *,
    node: str,
    region: Region,
    entropy: Entropy,
    number: int = 0,
    cluster: bytes | None = None,
    founding: tuple[int, ...] = (0,),
    groups: tuple[GroupId, ...] = (),
) -> Identity:
    """Read the directory's identity, or give it one if it is empty. ForeignData, NewerFormat, DamagedData.

    `cluster` None: drawn for a new directory, taken as it is for another. `groups`: those of the node; none: the
    region's and the global one.
    """
    if not await disk.exists(FILE_NAME):
        await _check_empty(disk)
        identity = Identity(
            cluster=entropy.random_bytes(ID_SIZE) if cluster is None else cluster,
            node=node,
            region=region,
            groups=groups or (GroupId(region.name), GLOBAL_GROUP),
            ready=False,
            number=number,
            disk=entropy.random_bytes(ID_SIZE),
            founding=founding,
        )
        await _write(disk, identity)
        return identity
    identity = await read_identity(disk)
    if identity.region != region:
        raise ForeignData(
            f"the data directory belongs to a node of region '{identity.region}': expected region '{region}'"
        )
    if identity.number != number:
        raise ForeignData(f"the data directory belongs to node {identity.number}: expected node {number}")
    if cluster is not None and identity.cluster != cluster:
        raise ForeignData(
            f"the data directory belongs to cluster {identity.cluster.hex()}: expected cluster {cluster.hex()}"
        )
    if groups and identity.groups != groups:
        raise ForeignData(
            f"the data directory belongs to a node with the groups {', '.join(identity.groups)}: expected "
            f"{', '.join(groups)}"
        )
    return identity


async def read_identity(disk: Disk) -> Identity:
    """The identity of a directory that has one. ForeignData, NewerFormat, DamagedData."""
    if not await disk.exists(FILE_NAME):
        raise ForeignData("this is no node's data directory: expected one made by VerityDB")
    file = await disk.open(FILE_NAME)
    try:
        return decode_identity(await file.read_at(0, await file.size()))
    finally:
        await file.close()


async def _check_empty(disk: Disk) -> None:
    others = [name for name in await disk.list("") if name not in _OWN_BEFORE_NODE]
    if others:
        raise ForeignData(
            "the data directory holds other files and no VerityDB node: expected an empty directory or one made by "
            f"VerityDB, found '{others[0]}'" + (f" and {len(others) - 1} more" if len(others) > 1 else "")
        )


async def _write(disk: Disk, identity: Identity) -> None:
    data = encode_identity(identity)
    file = await disk.open(_DRAFT, create=True)
    await file.truncate(0)
    await file.write_at(0, data)
    await file.sync()
    await file.close()
    await disk.rename(_DRAFT, FILE_NAME)
    await disk.sync_directory("")


def encode_identity(identity: Identity) -> bytes:
    fields = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "cluster": identity.cluster.hex(),
        "node": identity.node,
        "region": identity.region.name,
        "groups": list(identity.groups),
        "ready": identity.ready,
        "number": identity.number,
        "disk": identity.disk.hex(),
        "founding": list(identity.founding),
        "peers": {str(number): disk.hex() for number, disk in identity.peers},
        "replaced": [[number, disk.hex()] for number, disk in identity.replaced],
    }
    return json.dumps({**fields, "checksum": _checksum(fields)}, indent=1).encode() + b"\n"


def decode_identity(data: bytes) -> Identity:
    """ForeignData, NewerFormat and DamagedData name the file and what was found."""
    try:
        fields = json.loads(data)
    except ValueError:
        raise DamagedData(f"file '{FILE_NAME}' can't be read: expected JSON of format '{FORMAT}'") from None
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise ForeignData(f"file '{FILE_NAME}' isn't VerityDB's: expected format '{FORMAT}'")
    if fields.pop("checksum", None) != _checksum(fields):
        # Before the version, which a flipped bit can change as well.
        raise DamagedData(f"file '{FILE_NAME}' was changed: its checksum doesn't fit")
    version = fields.get("version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise NewerFormat(
            f"file '{FILE_NAME}' has format version {version}: this VerityDB reads up to {FORMAT_VERSION}"
        )
    return Identity(
        cluster=bytes.fromhex(fields["cluster"]),
        node=fields["node"],
        region=Region(fields["region"]),
        groups=tuple(GroupId(name) for name in fields["groups"]),
        ready=fields["ready"],
        number=fields["number"],
        disk=bytes.fromhex(fields["disk"]),
        founding=tuple(fields["founding"]),
        peers=tuple(sorted((int(number), bytes.fromhex(disk)) for number, disk in fields["peers"].items())),
        replaced=tuple((number, bytes.fromhex(disk)) for number, disk in fields.get("replaced", [])),
    )


def _checksum(fields: dict[str, Any]) -> str:
    return sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
