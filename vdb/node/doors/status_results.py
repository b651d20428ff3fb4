"""A node's status as the results of an RPC call."""

from __future__ import annotations

from typing import Any

from vdb.status import GroupStatus, MemberStatus, NodeStatus, ProjectionStatus

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
        _fill_projection(builder, found)


def _fill_projection(builder: Any, found: ProjectionStatus) -> None:
    builder.tenant, builder.name, builder.position = found.tenant, found.name, " ".join(map(str, found.position))
    builder.lag, builder.error = found.lag, found.error
    builder.version, builder.generation, builder.state = found.version, found.generation, found.state
    builder.ageMicros, builder.previous = found.age_us, found.previous
    builder.headAgeMicros = _NEVER if found.head_age_us is None else found.head_age_us
    builder.parked, builder.skipped, builder.fileSeconds = found.parked, found.skipped, found.file_seconds
    building = found.building
    if building is not None:
        target = builder.init("building")
        target.generation, target.version = building.generation, building.version
        target.done, target.total = building.done, building.total
        target.eventsPerSecond = building.events_per_second
        target.etaSeconds = _NEVER if building.eta_seconds is None else building.eta_seconds
        target.state, target.error = building.state, building.error


def _fill_group(builder: Any, group: GroupStatus) -> None:
    builder.group, builder.status, builder.view = group.group, group.status, group.view
    builder.op, builder.commit, builder.checkpointOp = group.op, group.commit, group.checkpoint_op
    builder.nextPosition, builder.tenants = group.next_position, group.tenants
    builder.streams, builder.sessions = group.streams, group.sessions
    builder.scrubbedAt, builder.scrubFaults = group.scrubbed_at, group.scrub_faults
    builder.primary, builder.primaryAddress, builder.epoch = group.primary, group.primary_address, group.epoch
    builder.serving, builder.diskFull, builder.stillMicros = group.serving, group.disk_full, group.still_us
    builder.policySerial, builder.unreviewedGrants = group.policy_serial, group.unreviewed_grants
    builder.cosignedAt, builder.witnesses = group.cosigned_at, group.witnesses
    for target, member in zip(builder.init("members", len(group.members)), group.members, strict=True):
        _fill_member(target, member)


def _fill_member(builder: Any, member: MemberStatus) -> None:
    builder.node, builder.name, builder.learner = member.node, member.name, member.learner
    builder.address, builder.peerAddress = member.address, member.peer_address
    builder.commit, builder.checkpointOp = member.commit, member.checkpoint_op
    builder.heardMicros = _NEVER if member.heard_us is None else member.heard_us
    if member.clock_offset_us is not None:
        builder.clockOffsetMicros, builder.clockKnown = member.clock_offset_us, True
