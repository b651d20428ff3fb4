"""What `vdb status` says of a cluster: each group with all its members, as its primary and they themselves see it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from attrs import frozen

from vdb.cli.output import print_table, print_text
from vdb.client.admin import NodeReport
from vdb.status import GroupStatus, MemberStatus, NodeStatus
from vdb.types import GLOBAL_GROUP

_NODE_COLUMNS = ("node", "address", "version", "up", "remarks")
_COLUMNS = ("node", "state", "view", "op", "commit", "lag", "checkpoint", "scrubbed", "clock")
"""As many as eighty columns of a terminal hold."""
_SECONDS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@frozen(kw_only=True)
class _View:
    """A group as one node has it."""

    number: int
    group: GroupStatus


def print_cluster(reports: Sequence[NodeReport]) -> None:
    """All nodes, then each group with its members."""
    answering = [report.status for report in reports if report.status is not None]
    if answering:
        first = answering[0]
        regions = list(dict.fromkeys(status.region for status in answering))
        where = f"in {first.region}" if len(regions) == 1 else f"of {len(regions)} regions"
        print_text(f"cluster {first.cluster.hex()} {where}, {len(answering)} of {len(reports)} nodes answer")
        print_text()
        if len(regions) > 1:
            print_table(("region", "nodes", "of which hold the global group"), _region_rows(answering))
            print_text()
    print_table(_NODE_COLUMNS, [_node_row(report, reports) for report in reports])
    for report in reports:
        if report.problem:
            print_text(report.problem)
    for name in dict.fromkeys(group.group for status in answering for group in status.groups):
        views = [
            _View(number=status.number, group=group)
            for status in answering
            for group in status.groups
            if group.group == name
        ]
        print_text()
        _print_group(name, views)


def _region_rows(answering: Sequence[NodeStatus]) -> list[tuple[object, ...]]:
    """Each region that answers, with its nodes by name."""
    rows: list[tuple[object, ...]] = []
    for region in sorted(dict.fromkeys(status.region for status in answering)):
        here = [status for status in answering if status.region == region]
        shared = [one.node for one in here if any(group.group == GLOBAL_GROUP for group in one.groups)]
        rows.append((region, ", ".join(one.node for one in here), ", ".join(shared) or "-"))
    return rows


def _node_row(report: NodeReport, reports: Sequence[NodeReport]) -> tuple[object, ...]:
    status = report.status
    if status is None:
        return (_name_at(report.address, reports), report.address, "-", "-", "doesn't answer")
    remarks = []
    if not status.clock_synchronised:
        remarks.append("its clock doesn't agree with a majority's")
    if any(group.disk_full for group in status.groups):
        remarks.append("its disk is full")
    if status.groups and all(group.status == "removed" for group in status.groups):
        remarks.append("not a member any more: stop it")
    return (status.node, report.address, status.version, age_text(status.uptime_seconds), ", ".join(remarks) or "-")


def _name_at(address: str, reports: Sequence[NodeReport]) -> str:
    """The name of the node at this address, as the others know it."""
    for report in reports:
        for group in report.status.groups if report.status is not None else ():
            for member in group.members:
                if member.address == address:
                    return member.name
    return "-"


def _print_group(name: str, views: Sequence[_View]) -> None:
    """`views`: what those that answer say. The serving primary's word counts for who is a member."""
    best = max(views, key=lambda view: (view.group.serving, view.group.view, view.group.commit))
    group = best.group
    primary = f"primary {_name_of(group, group.primary)}" if group.serving else "no primary"
    print_text(f"{name}: {primary}, view {group.view}, configuration {group.epoch}, position {group.next_position}")
    commit = max(view.group.commit for view in views)
    by_number = {view.number: view.group for view in views}
    print_table(_COLUMNS, [_row(member, by_number.get(member.node), group, commit) for member in group.members])


def _row(member: MemberStatus, own: GroupStatus | None, best: GroupStatus, commit: int) -> tuple[object, ...]:
    """What a member says of itself; of one that doesn't answer, what the primary last heard."""
    state = "learner" if member.learner else "voter"
    if best.serving and member.node == best.primary:
        state = "primary"
    clock = "-" if member.clock_offset_us is None else f"{member.clock_offset_us / 1000:+.1f} ms"
    if own is None:
        heard = "never heard" if member.heard_us is None else f"silent {age_text(member.heard_us / 1e6)}"
        lag = commit - member.commit
        return (
            member.name, f"{state}, {heard}", "-", "-", member.commit, lag, member.checkpoint_op, "-", clock,
        )  # fmt: skip
    if own.status != "normal":
        state = f"{state}, {own.status.replace('_', ' ')}"
    return (
        member.name,
        state,
        own.view,
        own.op,
        own.commit,
        commit - own.commit,
        own.checkpoint_op,
        _scrubbed(own),
        clock,
    )


def _scrubbed(group: GroupStatus) -> str:
    if not group.scrubbed_at:
        return "not yet"
    ago = f"{age_text(time.time() - group.scrubbed_at / 1e6)} ago"
    return f"{ago}, {group.scrub_faults} faults" if group.scrub_faults else ago


def _name_of(group: GroupStatus, node: int) -> str:
    return next((member.name for member in group.members if member.node == node), f"node {node}")


def age_text(seconds: float) -> str:
    """In the largest unit that fits."""
    for size, unit in _SECONDS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return "0 s"
