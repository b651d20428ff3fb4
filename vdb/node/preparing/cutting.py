"""Sizes of requests, and how an append that is too large for one prepare is cut into parts.

Rules
- `size_bound` is an upper bound of what a request takes in a prepare's body once it is sealed: headers, seals, framing
  and the rows of keys that may have to be put before it are in it.
- A part holds as much as fits one prepare, and at most RUNS_PER_PART_MAX runs. Runs are cut between payloads; a payload
  that doesn't fit is refused, and so is an append above `transaction_size_max`, before any part is sent.
- Two neighbouring parts together hold more than one prepare's worth of bytes or of runs, which bounds their number.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field

from vdb.errors import TooLarge
from vdb.limits import AUDIT_ENTRY_OVERHEAD, EVENT_ID_SIZE, RUNS_PER_PART_MAX, Limits
from vdb.node.consumers.consumer_request import ConsumerRequest
from vdb.node.erasure.erasure_request import ErasureRequest
from vdb.node.governance.governance_request import GovernanceRequest
from vdb.node.keys.key_request import KeyRequest
from vdb.node.preparing.request import (
    CutRun,
    Piece,
    PlainAppend,
    PlainAudit,
    PlainBatch,
    PlainCreate,
    PlainRequest,
    PlainRun,
    PlainTarget,
    PlainTransaction,
)
from vdb.wire.event import decode_batch

REQUEST_OVERHEAD = 1024
"""Bytes that a request may take beside its runs: framing, and a tenant key and a catalogue key."""
APPEND_OVERHEAD = 64
"""Bytes that one stream's append may take beside its runs."""
RUN_OVERHEAD = 640
"""Bytes that a run may take beside payloads and ids: header, seal, framing, and a new key's row."""
_CUT_OVERHEAD = RUN_OVERHEAD + 128
"""The same for a run that is cut out of a larger one, with the framing of its batch."""
_PAYLOAD_OVERHEAD = 16
"""Bytes of a batch for each payload: a pointer, and another when the payload lies in another segment."""
_WORD = 8


def size_bound(request: PlainRequest) -> int:
    """At most so many bytes of a prepare's body does the request take once it is sealed."""
    if isinstance(request, PlainBatch):
        size = REQUEST_OVERHEAD
        for append in request.appends:
            size += APPEND_OVERHEAD
            for run in append.runs:
                size += RUN_OVERHEAD + len(run.batch) + len(run.event_ids)  # as `_run_bound`, without a call
        return size
    if isinstance(request, PlainTransaction):
        return request.size
    if isinstance(request, PlainCreate):
        return REQUEST_OVERHEAD + RUN_OVERHEAD + len(request.name.encode())
    if isinstance(request, PlainAudit):
        return sum([len(entry) + AUDIT_ENTRY_OVERHEAD for entry in request.entries])
    if isinstance(request, ConsumerRequest | GovernanceRequest | KeyRequest | ErasureRequest):
        return REQUEST_OVERHEAD + request.size
    return REQUEST_OVERHEAD


def _run_bound(run: PlainRun) -> int:
    return RUN_OVERHEAD + len(run.batch) + len(run.event_ids)


def _count_runs(request: PlainBatch) -> int:
    return sum([len(append.runs) for append in request.appends])


def _payload_bound(payload: bytes, has_id: bool) -> int:
    return _PAYLOAD_OVERHEAD + -(-len(payload) // _WORD) * _WORD + (EVENT_ID_SIZE if has_id else 0)


def fit(request: PlainBatch, limits: Limits, size: int | None = None) -> PlainBatch | PlainTransaction:
    """The append as it is, if one prepare can hold it; otherwise cut into parts. TooLarge.

    `size`: its `size_bound`, if the caller knows it; cut, it has the same.
    """
    size, size_max = size_bound(request) if size is None else size, limits.transaction_size_max
    if size <= limits.request_size_max and (size > size_max or _count_runs(request) <= RUNS_PER_PART_MAX):
        return request
    if size > size_max:
        size_max = max(size_max, limits.request_size_max)
        raise TooLarge(
            f"the append takes up to {size} bytes with seals and headers: expected at most {size_max}, "
            "split it into several"
        )
    cutter = _Cutter(room=limits.request_size_max - REQUEST_OVERHEAD)
    for index, append in enumerate(request.appends):
        cutter.add(index, append)
    parts = cutter.finish()
    if len(parts) > limits.transaction_parts_max:
        raise TooLarge(
            f"the append takes {len(parts)} messages: expected at most {limits.transaction_parts_max}, "
            "split it into several"
        )
    return PlainTransaction(
        tenant=request.tenant,
        targets=tuple(
            PlainTarget(
                stream=append.stream,
                expected=append.expected,
                count=append.count,
                event_ids=b"".join([run.event_ids for run in append.runs]),
            )
            for append in request.appends
        ),
        parts=parts,
        size=size,
    )


@define(eq=False)
class _Cutter:
    """Fills part after part. `room` is what one part may hold."""

    room: int
    _parts: list[tuple[Piece, ...]] = field(factory=list)
    _pieces: list[tuple[int, list[PlainRun | CutRun]]] = field(factory=list)
    """Of the part that is being filled: an append's index and runs."""
    _used: int = 0
    _runs: int = 0
    """Of the part that is being filled, conditions without runs counted as one."""

    def add(self, index: int, append: PlainAppend) -> None:
        if not append.runs:
            self._reserve(index, 0)
        for run in append.runs:
            bound = _run_bound(run)
            pieces = [(run, bound)] if APPEND_OVERHEAD + bound <= self.room else self._cut(run)
            for piece, size in pieces:
                self._reserve(index, size).append(piece)

    def finish(self) -> tuple[tuple[Piece, ...], ...]:
        self._close_part()
        return tuple(self._parts)

    def _reserve(self, index: int, size: int) -> list[PlainRun | CutRun]:
        """Room for a run of this append in the present part, or else in a new one: the list that it goes to."""
        needed = size + (APPEND_OVERHEAD if self._starts_piece(index) else 0)
        if self._used + needed > self.room or self._runs == RUNS_PER_PART_MAX:
            self._close_part()
            needed = size + APPEND_OVERHEAD
        if self._starts_piece(index):
            self._pieces.append((index, []))
        self._used += needed
        self._runs += 1
        assert self._used <= self.room
        return self._pieces[-1][1]

    def _starts_piece(self, index: int) -> bool:
        return not self._pieces or self._pieces[-1][0] != index

    def _close_part(self) -> None:
        if self._pieces:
            self._parts.append(tuple(Piece(append=index, runs=tuple(runs)) for index, runs in self._pieces))
        self._pieces = []
        self._used = 0
        self._runs = 0

    def _cut(self, run: PlainRun) -> Iterator[tuple[PlainRun | CutRun, int]]:
        """A run larger than a part: runs that fit, and the bounds of their sizes."""
        payloads = decode_batch(run.batch)
        room = self.room - APPEND_OVERHEAD
        start, size = 0, _CUT_OVERHEAD
        for index, payload in enumerate(payloads):
            bound = _payload_bound(payload, bool(run.event_ids))
            if _CUT_OVERHEAD + bound > room:
                size = _CUT_OVERHEAD + bound
                raise TooLarge(
                    f"an event takes up to {size} bytes with seal and header: expected at most {room}, since one "
                    "message must hold it"
                )
            if size + bound > room:
                yield _slice(run, payloads, start, index), size
                start, size = index, _CUT_OVERHEAD
            size += bound
        yield _slice(run, payloads, start, len(payloads)), size


def _slice(run: PlainRun, payloads: list[bytes], start: int, stop: int) -> CutRun:
    return CutRun(
        subject=run.subject,
        payloads=payloads[start:stop],
        event_ids=run.event_ids[start * EVENT_ID_SIZE : stop * EVENT_ID_SIZE],
        schema_id=run.schema_id,
    )
