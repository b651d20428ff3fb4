"""The node's file: what a data directory is, and whether its groups were made to the end.

File `node`: JSON with these keys, and a SHA-256 over the rest in `checksum`.

    format   "veritydb-node"         version  1
    cluster  32 hex digits, drawn when the directory is created
    node     the node's name          region   the region it belongs to
    groups   the names of its groups  ready    false until all of them were formatted

It is written beside its place, synced and renamed, so a crash leaves the old one or the new one. While `ready` is
false a group without a superblock is formatted; once it is true, a group without one is damage.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from attrs import evolve, frozen

from vdb.errors import DamagedData, ForeignData, NewerFormat
from vdb.ports import Disk, Entropy
from vdb.types import GLOBAL_GROUP, GroupId, Region

FILE_NAME = "node"
_DRAFT = "node.new"
_OWN_BEFORE_NODE = ("LOCK", _DRAFT)
FORMAT = "veritydb-node"
FORMAT_VERSION = 1


@frozen(kw_only=True)
class Identity:
    cluster: bytes
    node: str
    region: Region
    groups: tuple[GroupId, ...]
    ready: bool


async def open_identity(disk: Disk, *, node: str, region: Region, entropy: Entropy) -> Identity:
    """Read the directory's identity, or give it one if it is empty. ForeignData, NewerFormat, DamagedData."""
    if not await disk.exists(FILE_NAME):
        await _check_empty(disk)
        identity = Identity(
            cluster=entropy.random_bytes(16),
            node=node,
            region=region,
            groups=(GroupId(region.name), GLOBAL_GROUP),
            ready=False,
        )
        await _write(disk, identity)
        return identity
    file = await disk.open(FILE_NAME)
    data = await file.read_at(0, await file.size())
    await file.close()
    identity = decode_identity(data)
    if identity.region != region:
        raise ForeignData(
            f"the data directory belongs to a node of region '{identity.region}': expected region '{region}'"
        )
    return identity


async def mark_ready(disk: Disk, identity: Identity) -> Identity:
    """All groups are formatted: from now on none may be missing."""
    ready = evolve(identity, ready=True)
    await _write(disk, ready)
    return ready


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
    version = fields.get("version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise NewerFormat(
            f"file '{FILE_NAME}' has format version {version}: this VerityDB reads up to {FORMAT_VERSION}"
        )
    if fields.pop("checksum", None) != _checksum(fields):
        raise DamagedData(f"file '{FILE_NAME}' was changed: its checksum doesn't fit")
    return Identity(
        cluster=bytes.fromhex(fields["cluster"]),
        node=fields["node"],
        region=Region(fields["region"]),
        groups=tuple(GroupId(name) for name in fields["groups"]),
        ready=fields["ready"],
    )


def _checksum(fields: dict[str, Any]) -> str:
    return sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
