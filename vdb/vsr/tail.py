"""What the superblock keeps of a view, as bytes: a replica's vote for it, or the log with which it started.

Big-endian: kind 1 (1 vote, 2 log, 3 vote of one unsure of its head), to 1, view 8, log_view 8, commit 8, checkpoint_op
8, number of entries 2; then for each entry: op 8, bits 1 (1 present, 2 nack, 4 header known), header 256 or nothing.
Nothing at all: neither of them.
"""

from __future__ import annotations

import struct

from vdb.limits import PREPARE_HEADER_SIZE
from vdb.ports import Buffer
from vdb.vsr.header import PrepareHeader, decode_header
from vdb.vsr.message import DoViewChange, TailEntry

_HEAD = struct.Struct(">BBQQQQH")
_ENTRY = struct.Struct(">QB")
_VOTE, _LOG, _UNSURE = 1, 2, 3
_PRESENT, _NACK, _KNOWN = 1, 2, 4


def tail_size(entries: int) -> int:
    """Bytes of so many entries, at most."""
    return _HEAD.size + entries * (_ENTRY.size + PREPARE_HEADER_SIZE)


def encode_vote(vote: DoViewChange) -> bytes:
    kind = _UNSURE if vote.unsure else _VOTE
    head = _HEAD.pack(kind, vote.to, vote.view, vote.log_view, vote.commit, vote.checkpoint_op, len(vote.tail))
    return head + encode_entries(vote.tail)


def decode_vote(data: Buffer, replica: int) -> DoViewChange | None:
    """The vote of this replica that the bytes hold; None when they hold none."""
    if len(data) < _HEAD.size:
        return None
    kind, to, view, log_view, commit, checkpoint_op, count = _HEAD.unpack_from(data)
    tail = decode_entries(memoryview(data)[_HEAD.size :], count)
    if kind not in (_VOTE, _UNSURE) or tail is None:
        return None
    return DoViewChange(
        view=view,
        log_view=log_view,
        commit=commit,
        checkpoint_op=checkpoint_op,
        to=to,
        tail=tail,
        unsure=kind == _UNSURE,
        replica=replica,
    )


def encode_log(view: int, commit: int, tail: tuple[PrepareHeader, ...]) -> bytes:
    """The log with which a view starts: its headers up to the head."""
    head = _HEAD.pack(_LOG, 0, view, view, commit, 0, len(tail))
    return head + encode_entries(tuple(TailEntry(op=header.op, header=header) for header in tail))


def decode_log(data: Buffer) -> tuple[int, tuple[PrepareHeader, ...]] | None:
    """(commit, headers) of the log that the bytes hold; None when they hold none."""
    if len(data) < _HEAD.size:
        return None
    kind, _to, _view, _log_view, commit, _checkpoint_op, count = _HEAD.unpack_from(data)
    tail = decode_entries(memoryview(data)[_HEAD.size :], count)
    if kind != _LOG or tail is None:
        return None
    return commit, tuple(entry.header for entry in tail if entry.header is not None)


def encode_entries(tail: tuple[TailEntry, ...]) -> bytes:
    parts = []
    for entry in tail:
        bits = _PRESENT * entry.present | _NACK * entry.nack | _KNOWN * (entry.header is not None)
        parts.append(_ENTRY.pack(entry.op, bits))
        if entry.header is not None:
            parts.append(entry.header.encode())
    return b"".join(parts)


def decode_entries(data: Buffer, count: int) -> tuple[TailEntry, ...] | None:
    """So many entries from the start of these bytes; None when they aren't there whole."""
    view = memoryview(data)
    at = 0
    tail = []
    for _ in range(count):
        if len(view) < at + _ENTRY.size:
            return None
        op, bits = _ENTRY.unpack_from(view, at)
        at += _ENTRY.size
        header = None
        if bits & _KNOWN:
            header = decode_header(view[at : at + PREPARE_HEADER_SIZE])
            at += PREPARE_HEADER_SIZE
            if header is None or header.op != op:
                return None
        tail.append(TailEntry(op=op, header=header, present=bool(bits & _PRESENT), nack=bool(bits & _NACK)))
    return tuple(tail)
