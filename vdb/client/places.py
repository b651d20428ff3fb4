"""Where a node is, and who holds which group: what a node is asked before anything else.

A node of a version that knows of one region alone holds that region's group and the global one, as its status says.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from vdb.client.link import Link
from vdb.errors import NotAvailable
from vdb.types import GroupId


@frozen(kw_only=True)
class Places:
    """What a node said of itself, and of the others."""

    region: str
    groups: tuple[GroupId, ...]
    """Those that the node itself holds."""
    holders: Mapping[GroupId, tuple[str, ...]]
    """Addresses of the nodes that hold a group, as far as the node knows."""


async def ask_places(link: Link) -> Places:
    """Ask the node at the other end. ConnectionLost."""
    try:
        said = await link.call("regions")
    except NotAvailable:
        status = await link.call("status")
        groups = tuple(GroupId(str(one.group)) for one in status.groups)
        return Places(region=str(status.region), groups=groups, holders=dict.fromkeys(groups, ()))
    return Places(
        region=str(said.region),
        groups=tuple(GroupId(str(group)) for group in said.groups),
        holders={GroupId(str(one.region)): tuple(str(address) for address in one.addresses) for one in said.members},
    )
