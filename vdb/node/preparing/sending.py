"""The sending of one transaction: part after part, each in a prepare of its own, until the last one closes it.

The group puts nothing else between the parts, so what the first part was predicted and sealed for holds for all. A
refusal is known before the first part, and is then proposed as the refusal of an append, without any part; and so is
an append that was executed before, as its event ids tell.
"""

from __future__ import annotations

from attrs import define

from vdb.kernel.command import AppendPart, Command, Request, StreamAppend
from vdb.kernel.event_ids import known_append
from vdb.kernel.predict import check_append
from vdb.kernel.reply import Refusal
from vdb.node.preparing.appending import refused_append
from vdb.node.preparing.noting import note_request
from vdb.node.preparing.request import CutRun, Pending, PlainTransaction
from vdb.node.preparing.sealer import Sealer
from vdb.node.replication.batch import Batch
from vdb.types import StreamId


@define(eq=False, kw_only=True)
class Sending:
    """A transaction of which some parts are in the log or on their way."""

    pending: Pending
    request: PlainTransaction
    streams: tuple[StreamId, ...]
    next_offsets: list[int]
    """Of each stream: what the first event of its next piece gets."""
    transaction: int = 0
    """Time of the first part; 0 before it is sealed."""
    next_part: int = 0

    @property
    def done(self) -> bool:
        return self.next_part == len(self.request.parts)


def begin(sealer: Sealer, batch: Batch, pending: Pending) -> Sending | None:
    """Start a transaction on the batch's state. None: it is answered without parts, and the batch holds the answer."""
    request = pending.request
    assert isinstance(request, PlainTransaction)
    wanted = [
        (sealer.stream_id(batch.state, request.tenant, target.stream), target.expected, target.count)
        for target in request.targets
    ]
    command: Command | None = known_append(
        batch.state,
        request.tenant,
        [(stream, count, one.event_ids) for (stream, _, count), one in zip(wanted, request.targets, strict=True)],
    )
    outcome = check_append(batch.state, request.tenant, wanted)
    if command is None and isinstance(outcome, Refusal):
        command = refused_append(
            request.tenant, [(stream, expected, [count] if count else []) for stream, expected, count in wanted]
        )
    if command is None:
        subjects = [run.subject for part in request.parts for piece in part for run in piece.runs]
        command = sealer.about_erased(batch.view, request.tenant, subjects)
    if command is not None:
        batch.add(Request(pending.origin, command))
        batch.waiters.append((len(batch.requests) - 1, pending))
        note_request(sealer, batch, pending)
        return None
    assert not isinstance(outcome, Refusal)
    return Sending(
        pending=pending,
        request=request,
        streams=tuple(stream for stream, _, _ in wanted),
        next_offsets=list(outcome),
    )


def add_part(sealer: Sealer, batch: Batch, sending: Sending) -> None:
    """Seal the next part and add it, with the keys that it needs. The reply to the last one is the request's."""
    request, number = sending.request, sending.next_part
    tenant, pieces = request.tenant, request.parts[number]
    keys = [
        [
            sealer.run_key(
                batch, tenant, sending.streams[piece.append], request.targets[piece.append].stream, run.subject
            )
            for run in piece.runs
        ]
        for piece in pieces
    ]
    # Keys are in the batch now, so the time of the first part is known.
    sending.transaction = sending.transaction or batch.next_timestamp
    appends: list[StreamAppend] = []
    for piece, keys_of_runs in zip(pieces, keys, strict=True):
        stream = sending.streams[piece.append]
        runs = [run.plain() if isinstance(run, CutRun) else run for run in piece.runs]
        first_offset = sending.next_offsets[piece.append]
        appends.append(
            StreamAppend(
                stream=stream,
                expected=request.targets[piece.append].expected,
                runs=sealer.seal_runs(batch, tenant, stream, first_offset, runs, keys_of_runs, sending.transaction),
            )
        )
        sending.next_offsets[piece.append] += sum(run.count for run in runs)
    sending.next_part += 1
    part = AppendPart(
        transaction=sending.transaction, number=number, tenant=tenant, appends=tuple(appends), last=sending.done
    )
    batch.add(Request(sending.pending.origin, part))
    if sending.done:
        _tell_watches(sealer, sending)
        batch.waiters.append((len(batch.requests) - 1, sending.pending))
        note_request(sealer, batch, sending.pending)


def _tell_watches(sealer: Sealer, sending: Sending) -> None:
    """The log shows nothing of a transaction before its last part: who watches may have begun after the part was sealed
    that is about its subject."""
    if sealer.watches:
        for part in sending.request.parts:
            for run in (run for piece in part for run in piece.runs if run.subject):
                sealer.watches.saw(sending.request.tenant, run.subject)
