"""Values to call parameters, and results to values. Results are copied: they outlive the message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vdb.client.values import Published, ReadPage, ReadRun, Rows, SqlValue, StreamAppend, StreamInfo, parse_positions
from vdb.kernel.command import Expected, ExpectedKind, Origin
from vdb.status import GroupStatus, MemberStatus, NodeStatus, ProjectionBuilding, ProjectionStatus
from vdb.types import Consistency, DataClass, GroupId, Position, ReadLevel


def write_origin(builder: Any, origin: Origin) -> None:
    builder.client = origin.client
    builder.session = origin.session
    builder.number = origin.number


def write_expected(builder: Any, expected: Expected) -> None:
    """ANY is what a fresh message says already."""
    if expected.kind is ExpectedKind.EXACT:
        builder.exact = expected.offset
    elif expected.kind is ExpectedKind.NONE:
        builder.none = None
    elif expected.kind is ExpectedKind.EXISTS:
        builder.exists = None


def write_publish(params: Any, origin: Origin, *, tenant: int, append: StreamAppend) -> None:
    (run,) = append.runs
    write_origin(params.origin, origin)
    params.tenant = tenant
    params.stream = append.stream
    params.payloads = run.payloads
    if append.expected.kind is not ExpectedKind.ANY:  # the default
        write_expected(params.expected, append.expected)
    params.subject = run.subject
    if run.event_ids:
        params.eventIds = run.event_ids
    params.schemaId = run.schema_id


def write_append(params: Any, origin: Origin, *, tenant: int, appends: Sequence[StreamAppend]) -> None:
    write_origin(params.origin, origin)
    params.tenant = tenant
    for builder, append in zip(params.init("appends", len(appends)), appends, strict=True):
        builder.stream = append.stream
        write_expected(builder.expected, append.expected)
        for run_builder, run in zip(builder.init("runs", len(append.runs)), append.runs, strict=True):
            run_builder.subject = run.subject
            run_builder.payloads = run.payloads
            if run.event_ids:
                run_builder.eventIds = run.event_ids
            run_builder.schemaId = run.schema_id


def write_level(params: Any, level: ReadLevel) -> None:
    """Linearizable is what a fresh message says already."""
    if isinstance(level, Position):
        params.consistency.atLeast = str(level)
    elif level is Consistency.STALE:
        params.consistency.stale = None


def write_value(builder: Any, value: SqlValue) -> None:
    if value is None:
        builder.null = None
    elif isinstance(value, int):
        builder.integer = value
    elif isinstance(value, float):
        builder.real = value
    elif isinstance(value, str):
        builder.text = value
    else:
        builder.blob = value


def read_value(reader: Any) -> SqlValue:
    which = str(reader.which())
    if which == "null":
        return None
    value: SqlValue = getattr(reader, which)
    return bytes(value) if isinstance(value, bytes | memoryview) else value


def read_published(append: StreamAppend, results: Any) -> Published:
    return Published(
        stream=append.stream,
        first_offset=results.firstOffset,
        next_offset=results.nextOffset,
        position=Position(GroupId(results.group), results.nextPosition),
        time=results.time,
    )


def read_appended(results: Any) -> tuple[Published, ...]:
    position = Position(GroupId(results.group), results.nextPosition)
    return tuple(
        Published(
            stream=item.stream,
            first_offset=item.firstOffset,
            next_offset=item.nextOffset,
            position=position,
            time=results.time,
        )
        for item in results.ranges
    )


def _read_run(reader: Any) -> ReadRun:
    return ReadRun(
        stream=reader.stream,
        first_offset=reader.firstOffset,
        first_position=reader.firstPosition,
        time=reader.time,
        payloads=tuple(bytes(payload) for payload in reader.payloads),
        event_ids=tuple(bytes(event_id) for event_id in reader.eventIds),
        schema_id=reader.schemaId,
        data_class=DataClass(reader.dataClass),
    )


def read_stream_page(results: Any) -> ReadPage:
    return ReadPage(runs=tuple(_read_run(run) for run in results.runs), next=results.nextOffset, head=results.head)


def read_log_page(results: Any) -> ReadPage:
    return ReadPage(runs=tuple(_read_run(run) for run in results.runs), next=results.nextPosition, head=results.head)


def read_stream_info(reader: Any) -> StreamInfo:
    return StreamInfo(
        name=reader.name,
        id=reader.id,
        data_class=DataClass(reader.dataClass),
        placement=reader.placement,
        next_offset=reader.nextOffset,
        created_at=reader.createdAt,
    )


def read_streams(results: Any) -> tuple[list[StreamInfo], bool]:
    return [read_stream_info(stream) for stream in results.streams], results.more


def _read_building(building: Any) -> ProjectionBuilding | None:
    if not building.generation:
        return None
    return ProjectionBuilding(
        generation=building.generation,
        version=building.version,
        done=building.done,
        total=building.total,
        events_per_second=building.eventsPerSecond,
        eta_seconds=None if building.etaSeconds < 0 else building.etaSeconds,
        state=building.state,
        error=building.error,
    )


def read_status(results: Any) -> NodeStatus:
    return NodeStatus(
        node=results.node,
        region=results.region,
        version=results.version,
        groups=tuple(
            GroupStatus(
                group=group.group,
                status=group.status,
                view=group.view,
                op=group.op,
                commit=group.commit,
                checkpoint_op=group.checkpointOp,
                next_position=group.nextPosition,
                tenants=group.tenants,
                streams=group.streams,
                sessions=group.sessions,
                scrubbed_at=group.scrubbedAt,
                scrub_faults=group.scrubFaults,
                primary=group.primary,
                primary_address=group.primaryAddress,
                epoch=group.epoch,
                members=tuple(_read_member(member) for member in group.members),
                serving=group.serving,
                disk_full=group.diskFull,
                still_us=group.stillMicros,
                policy_serial=group.policySerial,
                unreviewed_grants=group.unreviewedGrants,
                cosigned_at=group.cosignedAt,
                witnesses=group.witnesses,
            )
            for group in results.groups
        ),
        projections=tuple(
            ProjectionStatus(
                tenant=projection.tenant,
                name=projection.name,
                position=parse_positions(projection.position),
                lag=projection.lag,
                error=projection.error,
                version=projection.version,
                generation=projection.generation,
                state=projection.state,
                age_us=projection.ageMicros,
                head_age_us=None if projection.headAgeMicros < 0 else projection.headAgeMicros,
                parked=projection.parked,
                skipped=projection.skipped,
                previous=projection.previous,
                file_seconds=projection.fileSeconds,
                building=_read_building(projection.building),
            )
            for projection in results.projections
        ),
        uptime_seconds=results.uptimeSeconds,
        number=results.number,
        cluster=bytes(results.cluster),
        disk_id=bytes(results.diskId),
        clock_synchronised=results.clockSynchronised,
    )


def _read_member(member: Any) -> MemberStatus:
    return MemberStatus(
        node=member.node,
        name=member.name,
        learner=member.learner,
        address=member.address,
        peer_address=member.peerAddress,
        commit=member.commit,
        checkpoint_op=member.checkpointOp,
        heard_us=None if member.heardMicros < 0 else member.heardMicros,
        clock_offset_us=member.clockOffsetMicros if member.clockKnown else None,
    )


def read_rows(results: Any) -> Rows:
    return Rows(
        columns=tuple(results.columns),
        rows=tuple(tuple(read_value(value) for value in row.values) for row in results.rows),
        position=parse_positions(results.position),
    )
