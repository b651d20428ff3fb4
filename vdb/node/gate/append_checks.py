"""What the gate checks of an append before anything is looked up: its bounds, and that its parts fit together."""

from __future__ import annotations

from collections.abc import Sequence

from vdb.errors import InvalidArgument, TooLarge
from vdb.kernel.command import ANY
from vdb.limits import EVENT_ID_SIZE, STREAMS_PER_APPEND_MAX, SUBJECT_BYTES_MAX
from vdb.node.preparing.request import PlainAppend
from vdb.types import U64_MAX
from vdb.wire.api import BAD_IDS
from vdb.wire.event import ERASED_SCHEMA


def check_appends(appends: Sequence[PlainAppend], count_max: int) -> None:
    """The bounds of an append, before anything is looked up: what follows costs time for each stream and run."""
    if len(appends) == 1:
        if appends[0].count > count_max:
            raise _too_many_events(appends[0].count, count_max)
        _check_runs(appends[0])
        return
    if not appends:
        raise InvalidArgument("an append names at least one stream")
    if len(appends) > STREAMS_PER_APPEND_MAX:
        raise TooLarge(f"an append has at most {STREAMS_PER_APPEND_MAX} streams; found {len(appends)}")
    if len({append.stream for append in appends}) != len(appends):
        raise InvalidArgument("an append names each stream once; found one twice")
    count = sum([append.count for append in appends])
    if count > count_max:
        raise _too_many_events(count, count_max)
    for append in appends:
        _check_runs(append)


def _too_many_events(count: int, count_max: int) -> TooLarge:
    return TooLarge(f"an append has at most {count_max} events; found {count}")


def _check_runs(append: PlainAppend) -> None:
    if append.expected is not ANY and not 0 <= append.expected.offset <= U64_MAX:
        raise InvalidArgument(f"an offset lies between 0 and {U64_MAX}; found {append.expected.offset}")
    for run in append.runs:
        if run.subject:
            check_text("a subject", run.subject, SUBJECT_BYTES_MAX)
        if not 0 <= run.schema_id < ERASED_SCHEMA:
            raise InvalidArgument(f"a schema id lies between 0 and {ERASED_SCHEMA - 1}; found {run.schema_id}")
        if run.count < 1:
            raise InvalidArgument("a run holds at least one event; found none")
        if run.event_ids == BAD_IDS:
            raise InvalidArgument(f"an event id has {EVENT_ID_SIZE} bytes; found one of another length")
        if run.event_ids and len(run.event_ids) != run.count * EVENT_ID_SIZE:
            raise InvalidArgument(
                f"event ids have {EVENT_ID_SIZE} bytes each, one an event: expected {run.count * EVENT_ID_SIZE} bytes, "
                f"found {len(run.event_ids)}"
            )
    if len(append.runs) > 1 or (append.runs and len(append.runs[0].event_ids) > EVENT_ID_SIZE):
        _check_ids_differ([run.event_ids for run in append.runs if run.event_ids])


def _check_ids_differ(ids: Sequence[bytes]) -> None:
    """One id for two events of a stream would be no id: which of them came again, nobody could tell."""
    seen: dict[bytes, None] = {}
    for some in ids:
        for at in range(0, len(some), EVENT_ID_SIZE):
            seen[some[at : at + EVENT_ID_SIZE]] = None
    if len(seen) * EVENT_ID_SIZE != sum(map(len, ids)):
        raise InvalidArgument("the events of a stream have an id each; found one id twice in an append")


def check_text(what: str, text: str, bytes_max: int) -> None:
    if text.isascii() and len(text) <= bytes_max:
        return
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidArgument(f"{what} is text that UTF-8 can encode; found lone surrogates") from None
    if size > bytes_max:
        raise TooLarge(f"{what} has at most {bytes_max} bytes; found {size}")
