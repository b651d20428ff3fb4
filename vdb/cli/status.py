"""`vdb status` and `vdb version`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from attrs import asdict

from vdb.cli.cluster_status import age_text, print_cluster
from vdb.cli.options import NODE, Json, NodeOptions
from vdb.cli.output import print_json, print_table, print_text
from vdb.cli.projection_status import print_group_alarms, print_projections, projection_as_json
from vdb.client.admin import NodeReport
from vdb.status import GroupStatus, NodeStatus
from vdb.version import VERSION


async def status(*, options: NodeOptions = NODE) -> None:
    """Show a node, its groups and its projections; of a cluster all its nodes.

    Example: `vdb status --address 127.0.0.1:7140`
    """
    async with options.client() as client:
        found = await client.status()
        is_cluster = len(client.cluster.addresses) > 1 or any(len(group.members) > 1 for group in found.groups)
        reports = await client.cluster.statuses() if is_cluster else []
    if is_cluster:
        if options.json:
            print_json(cluster_as_json(reports))
        else:
            print_cluster(reports)
            groups = [group for one in reports if one.status is not None for group in one.status.groups]
            _print_policies(groups)
            _print_cosigned(groups)
            for report in reports:
                print_group_alarms(() if report.status is None else report.status.groups)
            if found.projections:
                print_text()
                print_projections(found.projections)
        return
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
    _print_policies(found.groups)
    _print_cosigned(found.groups)
    print_group_alarms(found.groups)
    if found.projections:
        print_text()
        print_projections(found.projections)


def _print_policies(groups: Sequence[GroupStatus]) -> None:
    """What the groups go by, as far as the nodes know that answered."""
    serials: dict[str, int] = {}
    for group in groups:
        serials[group.group] = max(serials.get(group.group, 0), group.policy_serial)
    print_text()
    for serial in sorted(dict.fromkeys(serials.values())):
        names = ", ".join(name for name, found in serials.items() if found == serial)
        if serial:
            print_text(f"policy: serial {serial} in {names}")
        else:
            print_text(f"policy: none in {names}: everything is allowed to everybody who is let in")
    waiting: dict[str, int] = {}
    for group in groups:
        waiting[group.group] = max(waiting.get(group.group, 0), group.unreviewed_grants)
    for name, count in waiting.items():
        if count:
            print_text(f"broken glasses in {name} that wait for a review: {count} (vdb break-glass list --unreviewed)")


def _print_cosigned(groups: Sequence[GroupStatus]) -> None:
    """Of what each node leads: when the tree that waits longest was cosigned."""
    for group in groups:
        if group.serving and group.witnesses:
            age = age_text(max(0.0, time.time() - group.cosigned_at / 1e6)) if group.cosigned_at else ""
            told = f"all trees cosigned within the last {age}" if age else "not all trees have been cosigned yet"
            print_text(f"witnesses of {group.group}: {group.witnesses}; {told}")


def version(*, json: Json = False) -> None:
    """Print the version.

    Example: `vdb version`
    """
    if json:
        print_json({"version": VERSION})
    else:
        print_text(VERSION)


def cluster_as_json(reports: Sequence[NodeReport]) -> dict[str, Any]:
    """The status of a cluster as the object that `vdb status` prints."""
    return {
        "nodes": [
            {
                "address": report.address,
                "problem": report.problem or None,
                **({} if report.status is None else status_as_json(report.status)),
            }
            for report in reports
        ]
    }


def status_as_json(found: NodeStatus) -> dict[str, Any]:
    """A node's status as the object that `vdb status` prints."""
    return {
        "node": found.node,
        "region": found.region,
        "version": found.version,
        "uptime_seconds": round(found.uptime_seconds, 3),
        "number": found.number,
        "cluster": found.cluster.hex(),
        "disk_id": found.disk_id.hex(),
        "clock_synchronised": found.clock_synchronised,
        "groups": [asdict(group) for group in found.groups],
        "projections": [projection_as_json(projection) for projection in found.projections],
    }
