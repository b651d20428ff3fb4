"""The RPC door: methods of `interface VerityDb` onto the gate.

Calls that write are dispatched without a task of their own, in the order of their arrival: the answer is built when the
op commits. Calls that wait or read the disk get a task. What is wrong with a write is the gate's to say, since its
refusal may have to use up a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from vdb.errors import DefiniteError, WireError
from vdb.kernel.command import ANY, EMPTY, EXISTS, Expected, ExpectedKind, Origin
from vdb.kernel.reply import Appended, StreamCreated
from vdb.limits import EVENT_ID_SIZE, SESSION_WINDOW
from vdb.node.doors.answering import Handler, answer, field
from vdb.node.doors.member_calls import member_calls
from vdb.node.doors.rpc_audit import audit_calls
from vdb.node.doors.rpc_consumers import consumer_calls
from vdb.node.doors.rpc_erasure import erasure_calls
from vdb.node.doors.rpc_events import event_calls
from vdb.node.doors.rpc_evidence import evidence_calls
from vdb.node.doors.rpc_governance import governance_calls
from vdb.node.doors.rpc_identity import identity_calls
from vdb.node.doors.rpc_keys import key_calls
from vdb.node.doors.rpc_projections import projection_calls
from vdb.node.doors.status_results import fill_status
from vdb.node.gate.answers import AppendResult, LogResult, ReadResult, RowsResult, StreamInfo
from vdb.node.gate.guard import Guard
from vdb.node.gate.origin import origin_of, read_origin
from vdb.node.gate.writes import Failure
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.projections.source import OpenedRun
from vdb.rpc.server import IncomingCall
from vdb.types import GroupId, ReadLevel
from vdb.wire.api import BAD_IDS, batch_from, ids_from, ids_into, payloads_into, read_level, value_from, value_into
from vdb.wire.publish import group_text, publish_results, usual_publish

_ID_SIZES = (0, EVENT_ID_SIZE)


class RpcFace:
    """Dispatches the calls of one connection. Synchronous: nothing in here waits."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._group_texts = {name: group_text(name) for name in guard.groups}
        self._handlers: dict[str, Handler] = {
            "openSession": self._open_session,
            "createStream": self._create_stream,
            "publish": self._publish,
            "append": self._append,
            "read": self._read,
            "readLog": self._read_log,
            "listStreams": self._list_streams,
            "getStream": self._get_stream,
            "status": self._status,
            "regions": self._regions,
            "rows": self._rows,
            "waitForProjection": self._wait_for_projection,
            **identity_calls(guard),
            **event_calls(guard),
            **consumer_calls(guard),
            **member_calls(guard),
            **projection_calls(guard),
            **evidence_calls(guard),
            **audit_calls(guard),
            **governance_calls(guard),
            **erasure_calls(guard),
            **key_calls(guard),
        }

    def dispatch(self, call: IncomingCall) -> None:
        """Take one call. Its parameters are read before this returns."""
        try:
            entered = self._guard.enter(call.method.name)
            try:
                self._handlers[call.method.name](call)
            finally:
                self._guard.leave(entered)
        except (DefiniteError, WireError) as error:
            call.fail(error)

    # Writes ----------------------------------------------------------------------------------------------------

    def _open_session(self, call: IncomingCall) -> None:
        answer(call, partial(self._guard.open_session, call.params.client, call.params.group), _fill_opened)

    def _create_stream(self, call: IncomingCall) -> None:
        params = call.params

        def on_answer(created: StreamCreated | Failure) -> None:
            if not isinstance(created, StreamCreated):
                call.fail(created)
                return

            def build(results: Any) -> None:
                results.id = created.stream
                results.created = created.created

            call.respond(build)

        self._guard.create(
            read_origin(params.origin),
            params.tenant,
            params.stream,
            params.dataClass,
            params.placement,
            params.ifNotExists,
            on_answer,
        )

    def _publish(self, call: IncomingCall) -> None:
        content = call.params_segment
        usual = usual_publish(content) if content is not None else None
        if usual is not None:
            run = PlainRun(
                subject=usual.subject,
                count=1,
                batch=usual.batch,
                event_ids=usual.event_ids if len(usual.event_ids) in _ID_SIZES else BAD_IDS,
                schema_id=usual.schema_id,
            )
            origin = origin_of(usual.client, usual.session, usual.number)
            tenant, append = usual.tenant, PlainAppend(stream=usual.stream, runs=(run,))
        else:
            origin, tenant, append = _plain_publish(call.params)

        def on_appended(group: GroupId, reply: Appended) -> None:
            (part,) = reply.streams
            text = self._group_texts[group]
            call.respond_segment(
                publish_results(part.first_offset, part.next_offset, reply.next_position, reply.timestamp, text)
            )

        self._guard.publish(origin, tenant, append, on_appended, call.fail)

    def _append(self, call: IncomingCall) -> None:
        params = call.params
        appends = tuple(_plain_append(append) for append in params.appends)

        def on_reply(result: AppendResult | Failure) -> None:
            if not isinstance(result, AppendResult):
                call.fail(result)
                return

            def build(results: Any) -> None:
                ranges = results.init("ranges", len(result.streams))
                for builder, part in zip(ranges, result.streams, strict=True):
                    builder.stream = part.stream
                    builder.firstOffset = part.first_offset
                    builder.nextOffset = part.next_offset
                results.group = result.group
                results.nextPosition = result.next_position
                results.time = result.time

            call.respond(build)

        self._guard.append_soon(read_origin(params.origin), params.tenant, appends, on_reply)

    # Reads -----------------------------------------------------------------------------------------------------

    def _read(self, call: IncomingCall) -> None:
        params = call.params
        tenant, stream, start = params.tenant, params.stream, params.fromOffset
        maximum, wait_us, ids_only = params.maxEvents, params.waitMicros, params.idsOnly
        work = partial(self._guard.read, tenant, stream, start, max_events=maximum, wait_us=wait_us, ids_only=ids_only)
        answer(call, partial(work, level=_level(params)), _fill_read)

    def _read_log(self, call: IncomingCall) -> None:
        params = call.params
        tenant, group, start = params.tenant, params.group, params.fromPosition
        maximum, wait_us = params.maxEvents, params.waitMicros
        work = partial(self._guard.read_log, tenant, group, start, max_events=maximum, wait_us=wait_us)
        answer(call, partial(work, level=_level(params)), _fill_log)

    def _list_streams(self, call: IncomingCall) -> None:
        params = call.params
        tenant, after, maximum, group, level = params.tenant, params.after, params.max, params.group, _level(params)
        work = partial(self._guard.list_streams, tenant, after, maximum or 1000, group=group, level=level)
        answer(call, work, _fill_infos)

    def _get_stream(self, call: IncomingCall) -> None:
        params = call.params
        work = partial(self._guard.get_stream, params.tenant, params.stream, group=params.group, level=_level(params))
        answer(call, work, lambda results, info: _fill_info(results.init("stream"), info))

    def _status(self, call: IncomingCall) -> None:
        answer(call, self._guard.status, fill_status)

    def _regions(self, call: IncomingCall) -> None:
        region, holders = self._guard.holders()

        def build(results: Any) -> None:
            results.region, results.groups = region, list(self._guard.groups)
            for builder, found in zip(results.init("members", len(holders)), holders, strict=True):
                builder.region, builder.addresses = found.group, list(found.addresses)

        call.respond(build)

    # Projections -----------------------------------------------------------------------------------------------

    def _rows(self, call: IncomingCall) -> None:
        params = call.params
        tenant, projection, table, limit = params.tenant, params.projection, params.table, params.limit
        where = {condition.column: value_from(condition.value) for condition in params.where}
        order_by = list(params.orderBy)
        answer(call, partial(self._guard.rows, tenant, projection, table, where, order_by, limit), _fill_rows)

    def _wait_for_projection(self, call: IncomingCall) -> None:
        params = call.params
        tenant, projection, position = params.tenant, params.projection, params.position
        work = partial(self._guard.wait_for_projection, tenant, projection, position, params.timeoutMicros)
        answer(call, work, field("reached"))


def _plain_publish(params: Any) -> tuple[Origin, int, PlainAppend]:
    # `_get` costs 0.2 µs a field, an attribute of a reader 0.6: Python looks for that in vain first.
    get = params._get
    payloads = get("payloads")
    count = len(payloads)
    runs: tuple[PlainRun, ...] = ()
    if count:
        run = PlainRun(
            subject=get("subject"),
            count=count,
            batch=batch_from(payloads),
            event_ids=ids_from(get("eventIds")),
            schema_id=get("schemaId"),
        )
        runs = (run,)
    append = PlainAppend(stream=get("stream"), expected=_expected(get("expected")), runs=runs)
    return read_origin(get("origin")), get("tenant"), append


def _level(params: Any) -> ReadLevel:
    return read_level(params.consistency)


def _expected(reader: Any) -> Expected:
    match reader._which_str():
        case "exact":
            return Expected(ExpectedKind.EXACT, reader._get("exact"))
        case "none":
            return EMPTY
        case "exists":
            return EXISTS
        case _:
            return ANY


def _plain_append(reader: Any) -> PlainAppend:
    return PlainAppend(
        stream=reader.stream,
        expected=_expected(reader.expected),
        runs=tuple(
            PlainRun(
                subject=run.subject,
                count=len(run.payloads),
                batch=batch_from(run.payloads),
                event_ids=ids_from(run.eventIds),
                schema_id=run.schemaId,
            )
            for run in reader.runs
        ),
    )


def _fill_run(builder: Any, run: OpenedRun) -> None:
    builder.stream = run.stream
    builder.firstOffset = run.first_offset
    builder.firstPosition = run.first_position
    builder.time = run.time
    builder.schemaId = run.schema_id
    builder.dataClass = int(run.data_class)
    builder.count = run.count
    if run.batch:
        payloads_into(run.batch, builder)
    if run.event_ids:
        ids_into(run.event_ids, builder)


def _fill_read(results: Any, result: ReadResult) -> None:
    for builder, run in zip(results.init("runs", len(result.runs)), result.runs, strict=True):
        _fill_run(builder, run)
    results.nextOffset = result.next_offset
    results.head = result.head


def _fill_log(results: Any, result: LogResult) -> None:
    for builder, run in zip(results.init("runs", len(result.runs)), result.runs, strict=True):
        _fill_run(builder, run)
    results.nextPosition = result.next_position
    results.head = result.head


def _fill_opened(results: Any, session: int) -> None:
    results.session, results.window = session, SESSION_WINDOW


def _fill_rows(results: Any, found: RowsResult) -> None:
    results.columns, results.position = list(found.columns), found.position
    for row, builder in zip(found.rows, results.init("rows", len(found.rows)), strict=True):
        for value, cell in zip(row, builder.init("values", len(row)), strict=True):
            value_into(value, cell)


def _fill_infos(results: Any, found: tuple[Sequence[StreamInfo], bool]) -> None:
    infos, results.more = found
    for builder, info in zip(results.init("streams", len(infos)), infos, strict=True):
        _fill_info(builder, info)


def _fill_info(builder: Any, info: StreamInfo) -> None:
    builder.name = info.name
    builder.id = info.stream
    builder.dataClass = int(info.data_class)
    builder.placement = info.placement
    builder.nextOffset = info.next_offset
    builder.createdAt = info.created_at
