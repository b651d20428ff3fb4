"""What `vdb status` says of a cluster: each group with all its members, as its primary and they themselves see it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from attrs import frozen

from vdb.cli.output import print_table, print_text
from vdb.client.admin import NodeReport
from vdb.client.values import GroupStatus, MemberStatus

_COLUMNS = (
    "node",
    "address",
    "role",
    "status",
    "view",
    "op",
    "commit",
    "lag",
    "checkpoint",
    "scrubbed",
    "faults",
    "clock",
)
_SECONDS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@frozen(kw_only=True)
class _View:
    """A group as one node has it."""

    number: int
    group: GroupStatus


def print_cluster(reports: Sequence[NodeReport]) -> None:
    """A heading and a table for each group, then who doesn't answer and what is wrong."""
    answering = [report.status for report in reports if report.status is not None]
    if answering:
        first = answering[0]
        versions = sorted({status.version for status in answering})
        print_text(
            f"cluster {first.cluster.hex()} in {first.region}: {len(answering)} of {_count(reports)} nodes answer, "
            f"version {', '.join(versions)}"
        )
    for name in dict.fromkeys(group.group for status in answering for group in status.groups):
        views = [
            _View(number=status.number, group=group)
            for status in answering
            for group in status.groups
            if group.group == name
        ]
        print_text()
        _print_group(name, views)
    problems = [
        *(f"{report.address} doesn't answer: {report.problem}" for report in reports if report.status is None),
        *(
            f"{status.node}: its clock doesn't agree with a quorum's"
            for status in answering
            if not status.clock_synchronised
        ),
        *(f"{status.node}: its disk is full" for status in answering if any(g.disk_full for g in status.groups)),
    ]
    if problems:
        print_text()
    for problem in problems:
        print_text(problem)


def _count(reports: Sequence[NodeReport]) -> int:
    """How many nodes there are: those that answer, and members that don't."""
    numbers = {
        member.node
        for report in reports
        if report.status is not None
        for group in report.status.groups
        for member in group.members
    }
    return max(len(numbers), sum(report.status is not None for report in reports))


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
    role = "learner" if member.learner else "voter"
    if best.serving and member.node == best.primary:
        role = "primary"
    clock = "-" if member.clock_offset_us is None else f"{member.clock_offset_us / 1000:+.1f} ms"
    if own is None:
        heard = "never heard" if member.heard_us is None else f"silent for {_age(member.heard_us / 1e6)}"
        lag = commit - member.commit
        return (member.name, member.address, role, heard, "-", "-", member.commit, lag, member.checkpoint_op, "-", "-",
                clock)  # fmt: skip
    return (
        member.name,
        member.address,
        role,
        own.status,
        own.view,
        own.op,
        own.commit,
        commit - own.commit,
        own.checkpoint_op,
        "not yet" if not own.scrubbed_at else f"{_age(time.time() - own.scrubbed_at / 1e6)} ago",
        own.scrub_faults,
        clock,
    )


def _name_of(group: GroupStatus, node: int) -> str:
    return next((member.name for member in group.members if member.node == node), f"node {node}")


def _age(seconds: float) -> str:
    """In the largest unit that fits."""
    for size, unit in _SECONDS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return "0 s"
