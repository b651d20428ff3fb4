"""`vdb status` and `vdb version`."""

from __future__ import annotations

from typing import Any

from attrs import asdict

from vdb.cli.options import NODE, Json, NodeOptions
from vdb.cli.output import print_json, print_table, print_text
from vdb.client.values import NodeStatus, ProjectionStatus
from vdb.version import VERSION

_GROUP_COLUMNS = (
    "group",
    "status",
    "view",
    "op",
    "commit",
    "checkpoint",
    "position",
    "tenants",
    "streams",
    "sessions",
    "faults",
)


async def status(*, options: NodeOptions = NODE) -> None:
    """Show the node, its groups and its projections.

    Example: `vdb status --address 127.0.0.1:7140`
    """
    async with options.client() as client:
        found = await client.status()
    if options.json:
        print_json(status_as_json(found))
        return
    print_text(f"{found.node} in {found.region}, version {found.version}, up {found.uptime_seconds:.0f} s")
    print_text()
    print_table(
        (
            "group",
            "status",
            "view",
            "op",
            "commit",
            "checkpoint",
            "position",
            "tenants",
            "streams",
            "sessions",
            "faults",
        ),
        [
            (
                group.group,
                group.status,
                group.view,
                group.op,
                group.commit,
                group.checkpoint_op,
                group.next_position,
                group.tenants,
                group.streams,
                group.sessions,
                group.scrub_faults,
            )
            for group in found.groups
        ],
    )
    if found.projections:
        print_text()
        print_projections(found.projections)


def version(*, json: Json = False) -> None:
    """Print the version.

    Example: `vdb version`
    """
    if json:
        print_json({"version": VERSION})
    else:
        print_text(VERSION)


def print_projections(projections: tuple[ProjectionStatus, ...]) -> None:
    """Projections as a table."""
    print_table(
        ("projection", "tenant", "position", "lag", "error"),
        [
            (found.name, found.tenant, " ".join(map(str, found.position)), found.lag, found.error or "-")
            for found in projections
        ],
    )


def projection_as_json(projection: ProjectionStatus) -> dict[str, Any]:
    """A projection as the object that commands print."""
    return {
        "projection": projection.name,
        "tenant": projection.tenant,
        "position": [str(position) for position in projection.position],
        "lag": projection.lag,
        "error": projection.error or None,
    }


def status_as_json(found: NodeStatus) -> dict[str, Any]:
    """A node's status as the object that `vdb status` prints."""
    return {
        "node": found.node,
        "region": found.region,
        "version": found.version,
        "uptime_seconds": round(found.uptime_seconds, 3),
        "groups": [asdict(group) for group in found.groups],
        "projections": [projection_as_json(projection) for projection in found.projections],
    }
