"""Event ids that a stream remembers: what makes an append safe to send again, from wherever it comes.

A session's numbers protect a client that still has its session. Ids protect the one that hasn't: another process that
was handed the same work, or a client whose session was evicted.

Rules
- A stream remembers the ids of the last `event_ids_max` of its events that came with ids. Who appends without ids pays
  nothing, and pushes none of them out.
- An append each of whose events has an id that is remembered, as consecutive events of one earlier append in the same
  order, is that append come again: it's answered as the first time, and nothing is appended. What it expects of its
  streams isn't looked at, since it was when the events were appended; nor are its payloads.
- An append that isn't, and of whose ids some are remembered, is refused: EVENT_ID_TAKEN. Ids come before conditions.
- An append of more events than a stream remembers is never answered again; sent again it is refused as well, so its
  events aren't there twice either.
- A stream of which the append has no event is told as it is now: what it was then isn't remembered.
- The primary asks `known_append` before it seals, and proposes a `KnownAppend` in the append's place: it names the ids
  that are there, and apply asserts that they are. An append that is accepted brings new ids alone, asserted as well.
- The parts of a transaction are remembered when it closes.

Row of EVENT_IDS: for each event, oldest first: id 16, offset u64, position u64, time u64 (of the request, microseconds
UTC; for the parts of a transaction its first part's). No two requests have one time, so it tells appends apart.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from vdb.errors import RefusalCode
from vdb.kernel.command import KnownAppend, KnownPiece
from vdb.kernel.draft import Draft
from vdb.kernel.reply import Appended, AppendedStream, Refusal, Reply
from vdb.kernel.rows import STREAM_ROW
from vdb.kernel.tables import EVENT_IDS, STREAMS, stream_key
from vdb.kernel.view import View
from vdb.limits import EVENT_ID_SIZE
from vdb.marks import mark
from vdb.types import StreamId, TenantId

ENTRY = struct.Struct(f">{EVENT_ID_SIZE}sQQQ")
_SIZE = ENTRY.size
_NO_ROW = b""


def known_append(state: View, tenant: TenantId, appends: Sequence[tuple[StreamId, int, bytes]]) -> KnownAppend | None:
    """What to propose in place of an append some of whose ids are remembered; None: all of them are new.

    An append is (stream, number of events, ids of those that have one, 16 bytes each).
    """
    rows = state.rows[EVENT_IDS]
    for stream, _, ids in appends:
        row = rows.get(stream_key(tenant, stream)) if ids else None
        taken = None if row is None else _first_taken(row, ids)
        if taken is not None:
            break
    else:
        return None
    if all(len(ids) == count * EVENT_ID_SIZE for _, count, ids in appends):
        pieces = tuple(
            [KnownPiece(stream=stream, event_id=ids[:EVENT_ID_SIZE], count=count) for stream, count, ids in appends]
        )
        whole = KnownAppend(tenant=tenant, pieces=pieces, whole=True)
        if _first_answer(state, whole) is not None and _are_the_same(state, tenant, appends):
            return whole
    piece = KnownPiece(stream=stream, event_id=taken, count=1)
    return KnownAppend(tenant=tenant, pieces=(piece,), whole=False)


def answer_known(draft: Draft, command: KnownAppend) -> Reply:
    """The answer of an append that some streams remember. It changes nothing."""
    if command.whole:
        mark("event_ids.answered_again")
        answer = _first_answer(draft, command)
        assert answer is not None, "the primary found an append that the streams don't remember"
        return answer
    mark("event_ids.taken")
    (piece,) = command.pieces
    row = draft.rows[EVENT_IDS].get(stream_key(command.tenant, piece.stream), _NO_ROW)
    at = _find(row, piece.event_id)
    assert at >= 0, f"stream {piece.stream}: the primary found an event id that isn't remembered"
    _, offset, _, _ = ENTRY.unpack_from(row, at)
    return Refusal(
        RefusalCode.EVENT_ID_TAKEN,
        f"expected event ids that are new, or those of one append as it was; stream {piece.stream} has one of them at "
        f"offset {offset}",
    )


def remember(
    draft: Draft, tenant: TenantId, stream: StreamId, offset: int, position: int, time: int, ids: bytes
) -> None:
    """Consecutive events from this offset and position on were appended with these ids."""
    keep = draft.event_ids_max
    if not keep:
        return
    key = stream_key(tenant, stream)
    row = draft.rows[EVENT_IDS].get(key, _NO_ROW)
    assert _first_taken(row, ids) is None, f"stream {stream}: an event id is appended that is there already"
    if len(ids) == EVENT_ID_SIZE:
        entries = ENTRY.pack(ids, offset, position, time)
    else:
        count = len(ids) // EVENT_ID_SIZE
        entries = b"".join(
            [
                ENTRY.pack(ids[at * EVENT_ID_SIZE : (at + 1) * EVENT_ID_SIZE], offset + at, position + at, time)
                for at in range(max(0, count - keep), count)
            ]
        )
    draft.put(EVENT_IDS, key, (row + entries)[-keep * _SIZE :])


def remembered(state: View, tenant: TenantId, stream: StreamId) -> Iterator[tuple[bytes, int, int, int]]:
    """Event id, offset, position and time of each event whose id the stream remembers, oldest first."""
    return ENTRY.iter_unpack(state.rows[EVENT_IDS].get(stream_key(tenant, stream), _NO_ROW))


def _find(row: bytes, event_id: bytes) -> int:
    """Where the id's entry starts; -1: it isn't there."""
    at = row.find(event_id)
    while at > 0 and at % _SIZE:  # the same bytes by chance, across two fields
        at = row.find(event_id, at + 1)
    return at


def _first_taken(row: bytes, ids: bytes) -> bytes | None:
    """The first of these ids that the row holds."""
    if len(ids) == EVENT_ID_SIZE:
        return ids if _find(row, ids) >= 0 else None
    held = {row[at : at + EVENT_ID_SIZE]: None for at in range(0, len(row), _SIZE)}
    for at in range(0, len(ids), EVENT_ID_SIZE):
        event_id = ids[at : at + EVENT_ID_SIZE]
        if event_id in held:
            return event_id
    return None


def _first_answer(state: View, known: KnownAppend) -> Appended | None:
    """What the append was answered that brought these pieces; None: they weren't one append's, or not in this order."""
    ranges: list[AppendedStream] = []
    first = following = appended_at = -1
    for piece in known.pieces:
        key = stream_key(known.tenant, piece.stream)
        if not piece.count:
            stream_row = state.rows[STREAMS].get(key)
            if stream_row is None:
                return None
            head: int = STREAM_ROW.unpack(stream_row)[1]
            ranges.append(AppendedStream(piece.stream, head, head))
            continue
        row = state.rows[EVENT_IDS].get(key, _NO_ROW)
        at = _find(row, piece.event_id)
        end = at + piece.count * _SIZE
        if at < 0 or end > len(row):
            return None
        _, offset, position, time = ENTRY.unpack_from(row, at)
        if first < 0:
            first, following, appended_at = position, position, time
        found = [entry[1:] for entry in ENTRY.iter_unpack(row[at:end])]
        if found != [(offset + one, following + one, appended_at) for one in range(piece.count)]:
            return None
        following += piece.count
        ranges.append(AppendedStream(piece.stream, offset, offset + piece.count))
    return None if first < 0 else Appended(tuple(ranges), first, following, appended_at)


def _are_the_same(state: View, tenant: TenantId, appends: Sequence[tuple[StreamId, int, bytes]]) -> bool:
    """Whether each stream holds exactly these ids, from where it has the first one on."""
    for stream, _, ids in appends:
        row = state.rows[EVENT_IDS].get(stream_key(tenant, stream), _NO_ROW)
        at = _find(row, ids[:EVENT_ID_SIZE]) if ids else 0
        held = row[at : at + len(ids) // EVENT_ID_SIZE * _SIZE]
        if b"".join([held[one : one + EVENT_ID_SIZE] for one in range(0, len(held), _SIZE)]) != ids:
            return False
    return True
