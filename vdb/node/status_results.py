"""A node's status as the results of an RPC call."""

from __future__ import annotations

from typing import Any

from vdb.node.answers import GroupStatus, MemberStatus, NodeStatus

_NEVER = -1


def fill_status(results: Any, status: NodeStatus) -> None:
    """Fill the results of `status`."""
    results.node, results.region, results.version = status.node, status.region, status.version
    results.uptimeSeconds = status.uptime_seconds
    results.number, results.cluster, results.diskId = status.number, status.cluster, status.disk_id
    results.clockSynchronised = status.clock_synchronised
    for builder, group in zip(results.init("groups", len(status.groups)), status.groups, strict=True):
        _fill_group(builder, group)
    for builder, found in zip(results.init("projections", len(status.projections)), status.projections, strict=True):
        builder.tenant, builder.name, builder.position = found.tenant, found.name, found.position
        builder.lag, builder.error = found.lag, found.error


def _fill_group(builder: Any, group: GroupStatus) -> None:
    builder.group, builder.status, builder.view = group.group, group.status, group.view
    builder.op, builder.commit, builder.checkpointOp = group.op, group.commit, group.checkpoint_op
    builder.nextPosition, builder.tenants = group.next_position, group.tenants
    builder.streams, builder.sessions = group.streams, group.sessions
    builder.scrubbedAt, builder.scrubFaults = group.scrubbed_at, group.scrub_faults
    builder.primary, builder.primaryAddress, builder.epoch = group.primary, group.primary_address, group.epoch
    builder.serving, builder.diskFull = group.serving, group.disk_full
    for target, member in zip(builder.init("members", len(group.members)), group.members, strict=True):
        _fill_member(target, member)


def _fill_member(builder: Any, member: MemberStatus) -> None:
    builder.node, builder.name, builder.learner = member.node, member.name, member.learner
    builder.address, builder.peerAddress = member.address, member.peer_address
    builder.commit, builder.checkpointOp = member.commit, member.checkpoint_op
    builder.heardMicros = _NEVER if member.heard_us is None else member.heard_us
    if member.clock_offset_us is not None:
        builder.clockOffsetMicros, builder.clockKnown = member.clock_offset_us, True
