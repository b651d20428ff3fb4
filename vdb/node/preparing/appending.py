"""The commands that create streams and append to them, sealed for the places that they will have."""

from __future__ import annotations

from collections.abc import Sequence

from vdb.kernel.command import AppendBatch, Command, CreateStream, Expected, KeyScope, Run, StreamAppend
from vdb.kernel.event_ids import known_append
from vdb.kernel.predict import check_append, check_append_to, check_create
from vdb.kernel.reply import Refusal, StreamCreated
from vdb.kernel.streamid import CATALOGUE
from vdb.node.preparing.request import PlainAppend, PlainBatch, PlainCreate, PlainRun
from vdb.node.preparing.sealer import NO_STREAM, Sealer
from vdb.node.replication.batch import Batch
from vdb.types import StreamId, TenantId

_STREAM, _SUBJECT = KeyScope.STREAM, KeyScope.SUBJECT


def create_command(sealer: Sealer, batch: Batch, request: PlainCreate) -> Command:
    """The command that creates a stream: its name is sealed into the catalogue."""
    sealer.ensure_tenant_key(batch, request.tenant)
    lookup = sealer.keyring.lookup(request.tenant, KeyScope.STREAM, request.name)
    outcome = check_create(
        batch.view, request.tenant, lookup, request.data_class, request.region, request.if_not_exists
    )
    stream, record = NO_STREAM, b""
    if isinstance(outcome, StreamCreated):
        stream = outcome.stream
    elif not isinstance(outcome, Refusal):
        stream, catalogue_offset = outcome
        key = sealer.ensure_key(batch, request.tenant, KeyScope.CATALOGUE, "", sealer.names_class)
        name = PlainRun(count=1, batch=request.name.encode())
        record = sealer.seal(
            request.tenant, CATALOGUE, catalogue_offset, name, key, sealer.names_class, batch.next_timestamp
        )
    return CreateStream(
        tenant=request.tenant,
        stream=stream,
        data_class=request.data_class,
        region=request.region,
        lookup=lookup,
        record=record,
        if_not_exists=request.if_not_exists,
    )


def append_command(sealer: Sealer, batch: Batch, request: PlainBatch) -> Command:
    """The command of an append: sealed, or as one that was executed before, or that apply will refuse."""
    tenant = request.tenant
    if len(request.appends) == 1 and len(request.appends[0].runs) == 1:
        return _append_run(sealer, batch, tenant, request.appends[0])
    wanted = [
        (sealer.stream_id(batch.view, tenant, append.stream), append.expected, append.count)
        for append in request.appends
    ]
    known = known_append(batch.view, tenant, _ids_of(wanted, request.appends))
    if known is not None:
        return known
    outcome = check_append(batch.view, tenant, wanted)
    if isinstance(outcome, Refusal):
        return refused_append(
            tenant,
            [
                (*one[:2], [run.count for run in append.runs])
                for one, append in zip(wanted, request.appends, strict=True)
            ],
        )
    erased = sealer.about_erased(batch.view, tenant, [run.subject for one in request.appends for run in one.runs])
    if erased is not None:
        return erased
    keys = [
        [sealer.run_key(batch, tenant, stream, append.stream, run.subject) for run in append.runs]
        for (stream, _expected, _count), append in zip(wanted, request.appends, strict=True)
    ]
    # Keys are in the batch now, so the time of this request is known, and the records can be sealed.
    time = batch.next_timestamp
    sealed: list[StreamAppend] = []
    for (stream, expected, _), append, first_offset, keys_of_runs in zip(
        wanted, request.appends, outcome, keys, strict=True
    ):
        runs = sealer.seal_runs(batch, tenant, stream, first_offset, append.runs, keys_of_runs, time)
        sealed.append(StreamAppend(stream=stream, expected=expected, runs=runs))
    return AppendBatch(tenant=tenant, appends=tuple(sealed))


def _append_run(sealer: Sealer, batch: Batch, tenant: TenantId, append: PlainAppend) -> Command:
    """`append_command` of one run, which most appends are: the same, without lists and loops."""
    run, expected, view = append.runs[0], append.expected, batch.view
    stream = sealer.stream_id(view, tenant, append.stream)
    if run.event_ids:
        known = known_append(view, tenant, ((stream, run.count, run.event_ids),))
        if known is not None:
            return known
    offset = check_append_to(view, tenant, stream, expected, run.count)
    if isinstance(offset, Refusal):
        return refused_append(tenant, [(stream, expected, [run.count])])
    erased = sealer.about_erased(view, tenant, (run.subject,))
    if erased is not None:
        return erased
    data_class = view.data_class(tenant, stream)
    scope, name = (_SUBJECT, run.subject) if run.subject else (_STREAM, append.stream)
    key = sealer.ensure_key(batch, tenant, scope, name, data_class)
    # The key is in the batch now, so the time of this request is known.
    record = sealer.seal(tenant, stream, offset, run, key, data_class, batch.next_timestamp)
    sealed = StreamAppend(stream=stream, expected=expected, runs=(Run(count=run.count, record=record),))
    return AppendBatch(tenant=tenant, appends=(sealed,))


def _ids_of(
    wanted: Sequence[tuple[StreamId, Expected, int]], appends: Sequence[PlainAppend]
) -> list[tuple[StreamId, int, bytes]]:
    """Of each stream: how many events, and the ids of those that have one."""
    return [
        (stream, count, b"".join([run.event_ids for run in append.runs]))
        for (stream, _, count), append in zip(wanted, appends, strict=True)
    ]


def refused_append(tenant: TenantId, wanted: Sequence[tuple[StreamId, Expected, Sequence[int]]]) -> AppendBatch:
    """The command of an append that apply will refuse: conditions and the counts of its runs, without payloads."""
    return AppendBatch(
        tenant=tenant,
        appends=tuple(
            StreamAppend(stream=stream, expected=expected, runs=tuple(Run(count=count, record=b"") for count in counts))
            for stream, expected, counts in wanted
        ),
    )
