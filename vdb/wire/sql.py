"""Transactions of a SQL database as payloads of its stream, and back (`schemas/sql.capnp`).

    encode_transaction    Transaction -> payloads, each with the subject that it is sealed under
    TransactionReader     payloads in their order -> Transactions
    peek                  where a payload stands within its transaction, without reading it

Rules
- The first payload is the begin, never under a subject; then one payload per step. Statements that change the schema
  and sequences aren't anybody's data either; a row is under the value of its table's subject column, if it has one.
- An update that changes the subject column becomes a delete and an insert, so that each image lies under its own
  subject. Both are flagged, and the reader makes one update of them again.
- A message larger than a piece may be travels in several payloads, of the same subject.
- Payloads are numbered within their transaction: from any of them the begin can be found, and a gap is seen.
- Damaged bytes raise WireError and nothing else; no message shows what a row holds. A reader that raised is of no
  further use.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from vdb.changes import (
    Layout,
    Operation,
    RawText,
    RowChange,
    SchemaChange,
    SequenceChange,
    Step,
    Transaction,
    Value,
)
from vdb.errors import InvalidArgument, WireError
from vdb.limits import SUBJECT_BYTES_MAX
from vdb.ports import Buffer
from vdb.wire import schema
from vdb.wire.framing import WORD
from vdb.wire.sql_begin import TRANSACTION_ID_SIZE, Begin, decode_begin, encode_begin, read_begin
from vdb.wire.sql_rows import LAST, MOVED, OPERATIONS, ROOT, Row, decode_row, encode_row

SQL_SCHEMA = 2
"""Schema id of payloads that are pieces of SQL transactions."""

PIECE_SIZE = 256 * 1024
"""Bytes of a message that travel in one payload."""

_SqlEvent = schema.sql.SqlEvent
_PEEK = struct.Struct("<IIQQ")
_SEGMENTS = struct.Struct("<I")
_NUMBER_MASK = 0xFFFF_FFFF
_SEGMENTS_MAX = 512
_TOUCHED_AGAIN = 64


class Payload(NamedTuple):
    """One event: whose data it is ("": nobody's), and its bytes."""

    subject: str
    data: bytes


class Place(NamedTuple):
    """Where a payload stands: the transaction begins `number` offsets before it."""

    number: int
    last: bool


# Writing ---------------------------------------------------------------------------------------------------------


def encode_transaction(
    transaction: Transaction, subjects: Mapping[str, str] | None = None, *, piece_size: int = PIECE_SIZE
) -> list[Payload]:
    """The payloads in their order. `subjects`: names of tables, in lower case, to the name of their subject column.

    InvalidArgument when a value can't be a subject because it is too long.
    """
    assert piece_size >= 1
    begin_payloads = 1
    while True:
        steps = _encode_steps(transaction, subjects or {}, begin_payloads, piece_size)
        begin = Begin(
            id=transaction.id,
            count=begin_payloads + len(steps),
            attribution=transaction.attribution,
            layouts=transaction.layouts,
        )
        payloads: list[Payload] = []
        _add(payloads, "", encode_begin(begin), 0, not steps, piece_size)
        if len(payloads) == begin_payloads:
            return payloads + steps
        begin_payloads = len(payloads)  # what the begin counts doesn't change its size: this is the last round but one


def _encode_steps(transaction: Transaction, subjects: Mapping[str, str], number: int, piece_size: int) -> list[Payload]:
    """The payloads of the steps, numbered from `number`."""
    columns = [_subject_column(layout, subjects) for layout in transaction.layouts]
    payloads: list[Payload] = []
    final = len(transaction.steps) - 1
    for index, step in enumerate(transaction.steps):
        last = index == final
        at = number + len(payloads)
        if not isinstance(step, RowChange):
            _add(payloads, "", _encode_other(step, at, last), at, last, piece_size)
            continue
        column = columns[step.layout]
        subject, after = ("", "") if column is None else _subjects(step, column)
        if subject == after:
            _add(payloads, subject, encode_row(at, LAST if last else 0, step), at, last, piece_size)
            continue
        delete, insert = _halves(step)
        _add(payloads, subject, encode_row(at, MOVED, delete), at, False, piece_size)
        at = number + len(payloads)
        _add(payloads, after, encode_row(at, MOVED | LAST if last else MOVED, insert), at, last, piece_size)
    return payloads


def _subject_column(layout: Layout, subjects: Mapping[str, str]) -> int | None:
    name = subjects.get(layout.table.lower())
    if name is None:
        return None
    columns = [column.lower() for column in layout.columns]
    return columns.index(name.lower()) if name.lower() in columns else None


def _subjects(change: RowChange, column: int) -> tuple[str, str]:
    """Whose data a row was before, and is after; the same where it has one image."""
    first, second = change.before, change.after
    before = None if first is None else subject_name(first[column])
    after = None if second is None else subject_name(second[column])
    if before is None:
        before = after
    assert before is not None, "a row change has an image"
    return before, before if after is None else after


def subjects_of(transaction: Transaction, subjects: Mapping[str, str]) -> dict[str, None]:
    """Whose rows a transaction changed, "" for those that are nobody's."""
    columns = [_subject_column(layout, subjects) for layout in transaction.layouts]
    found: dict[str, None] = {}
    for step in transaction.steps:
        if isinstance(step, RowChange):
            column = columns[step.layout]
            found.update(dict.fromkeys(("",) if column is None else _subjects(step, column)))
    return found


def subject_name(value: Value) -> str:
    """Of what a subject column holds. NULL: nobody. The same number is the same subject as text and as an integer."""
    if value is None:
        return ""
    if isinstance(value, RawText):
        value = value.data
    subject = value.hex() if isinstance(value, bytes) else str(value)
    if len(subject.encode()) > SUBJECT_BYTES_MAX:
        raise InvalidArgument(
            f"the subject column of a row holds a value too long to be a subject: expected at most "
            f"{SUBJECT_BYTES_MAX} bytes, found {len(subject.encode())}"
        )
    return subject


def _halves(update: RowChange) -> tuple[RowChange, RowChange]:
    return (
        RowChange(
            layout=update.layout,
            operation=Operation.DELETE,
            rowid_before=update.rowid_before,
            before=update.before,
        ),
        RowChange(
            layout=update.layout,
            operation=Operation.INSERT,
            rowid_after=update.rowid_after,
            after=update.after,
        ),
    )


def _encode_other(step: SequenceChange | SchemaChange, number: int, last: bool) -> bytes:
    message = _SqlEvent.new_message(number=number, last=last)
    if isinstance(step, SchemaChange):
        message.statement = step.sql
    else:
        sequence = message.init("sequence")
        sequence.table, sequence.value, sequence.gone = step.table, step.value or 0, step.value is None
    encoded: bytes = message.to_bytes()
    return encoded


def _add(payloads: list[Payload], subject: str, data: bytes, number: int, last: bool, piece_size: int) -> None:
    """Append a message, in pieces if it is large."""
    size = len(data)
    if size <= piece_size:
        payloads.append(Payload(subject, data))
        return
    for start in range(0, size, piece_size):
        is_end = start + piece_size >= size
        message = _SqlEvent.new_message(number=number, last=last and is_end)
        piece = message.init("piece")
        piece.data, piece.last = data[start : start + piece_size], is_end
        payloads.append(Payload(subject, message.to_bytes()))
        number += 1


# Reading ---------------------------------------------------------------------------------------------------------


def peek(payload: Buffer) -> Place:
    """Where a payload stands within its transaction; WireError when it is none."""
    if len(payload) >= _PEEK.size:
        segments, _words, root, event = _PEEK.unpack_from(payload)
        if segments == 0 and root == ROOT:
            return Place(event & _NUMBER_MASK, bool(event & LAST))
    with _opened(bytes(payload)) as reader:
        return Place(reader.number, reader.last)


class TransactionReader:
    """Folds the payloads of a stream, from a transaction's first on, into transactions."""

    def __init__(self) -> None:
        self._begin: Begin | None = None
        self._steps: list[Step] = []
        self._number = 0
        """Of the payload that is expected next."""
        self._half: RowChange | None = None
        """The delete of an update whose insert comes next."""
        self._erased = False
        """Whether the payload before was erased: it may have been such a delete."""
        self._pieces: list[bytes] = []

    @property
    def number(self) -> int:
        """How many payloads of a transaction were fed that hasn't ended; 0 between two transactions."""
        return self._number

    def feed(self, payload: Buffer) -> Transaction | None:
        """The transaction that ends with this payload, if one does."""
        data = bytes(payload)
        event = decode_row(data) or _usual_begin(data) or _decode(data)
        if event.number != self._number:
            raise WireError(
                f"a transaction of {len(self._steps)} steps so far: expected its payload {self._number}, "
                f"found {event.number}"
            )
        self._number += 1
        if isinstance(event, _Part):
            self._pieces.append(event.data)
            if event.ends:
                whole = b"".join(self._pieces)
                self._pieces = []
                inner = decode_row(whole) or _decode(whole)
                if isinstance(inner, _Part):
                    raise WireError("a piece of a message: expected no pieces within it, found one")
                self._take(inner)
        else:
            if self._pieces:
                raise WireError("expected the next piece of a message, found another message")
            self._take(event)
        self._erased = self._erased and bool(self._pieces)
        return self._finish() if event.last else None

    def feed_erased(self) -> Transaction | None:
        """The next payload was erased, and what it says of its subject's row never happened. See `feed`.

        Both images of an update that moved a row to another subject are payloads of their own: the one that is left is
        a delete or an insert.
        """
        if self._begin is None:
            raise WireError("expected the begin of a transaction, which is nobody's data, found an erased payload")
        self._number += 1
        self._pieces = []
        self._erased = True
        self._end_half()
        return self._finish() if self._number == self._begin.count else None

    def _end_half(self) -> None:
        if self._half is not None:
            self._steps.append(self._half)
            self._half = None

    def _take(self, event: Row | _Other) -> None:
        if isinstance(event, Row):
            self._take_row(event)
            return
        content = event.content
        if self._half is not None:
            raise WireError("expected the insert of an update that moved a row, found another step")
        if isinstance(content, Begin):
            if self._begin is not None:
                raise WireError("expected a step of a transaction, found the begin of another")
            self._begin = content
        elif self._begin is None:
            raise WireError("expected the begin of a transaction, found a step")
        else:
            self._steps.append(content)

    def _take_row(self, event: Row) -> None:
        change, half = event.change, self._half
        if self._begin is None:
            raise WireError("expected the begin of a transaction, found a row change")
        if change.layout >= len(self._begin.layouts):
            raise WireError(
                f"a row change of layout {change.layout}: expected one of the transaction's {len(self._begin.layouts)}"
            )
        if half is not None:
            if not event.moved or change.operation is not Operation.INSERT or change.layout != half.layout:
                raise WireError("expected the insert of an update that moved a row, found another row change")
            self._half = None
            self._steps.append(
                RowChange(
                    layout=half.layout,
                    operation=Operation.UPDATE,
                    rowid_before=half.rowid_before,
                    rowid_after=change.rowid_after,
                    before=half.before,
                    after=change.after,
                )
            )
        elif event.moved and change.operation is Operation.DELETE:
            self._half = change
        elif event.moved and change.operation is not Operation.INSERT:
            raise WireError(f"expected a half of an update that moved a row, found an {change.operation.name}")
        elif event.moved and not self._erased:
            raise WireError(f"expected the delete of an update that moved a row, found an {change.operation.name}")
        else:
            self._steps.append(change)

    def _finish(self) -> Transaction:
        begin = self._begin
        if begin is None or self._half is not None or self._pieces:
            raise WireError("a transaction ends in the midst of a step")
        if begin.count != self._number:
            raise WireError(f"a transaction ends: expected {begin.count} payloads of it, found {self._number}")
        transaction = Transaction(
            id=begin.id, attribution=begin.attribution, layouts=begin.layouts, steps=tuple(self._steps)
        )
        self._begin, self._steps, self._number = None, [], 0
        return transaction


class _Part(NamedTuple):
    number: int
    last: bool
    data: bytes
    ends: bool


class _Other(NamedTuple):
    number: int
    last: bool
    content: Begin | SequenceChange | SchemaChange


def _usual_begin(data: bytes) -> _Other | None:
    begin = decode_begin(data)
    return None if begin is None else _Other(0, begin.count == 1, begin)


@contextmanager
def _opened(data: bytes) -> Iterator[Any]:
    """pycapnp's reader of a payload. What it raises of damaged bytes becomes a WireError."""
    if len(data) < WORD or len(data) % WORD:
        raise WireError(f"a payload of {len(data)} bytes: expected a positive multiple of {WORD}")
    if _SEGMENTS.unpack_from(data)[0] >= _SEGMENTS_MAX:
        raise WireError(f"a payload: expected at most {_SEGMENTS_MAX} segments, found more")
    try:
        with _SqlEvent.from_bytes(data, traversal_limit_in_words=_limit(data)) as reader:
            yield reader
    except (schema.CapnpError, UnicodeDecodeError):
        raise WireError("a payload of a transaction: its bytes don't follow the encoding") from None


def _limit(data: bytes) -> int:
    """Words that reading may touch. A struct is touched once for each of its fields that is asked for."""
    return 2 * len(data) // WORD + _TOUCHED_AGAIN


def _decode(data: bytes) -> Row | _Part | _Other:
    with _opened(data) as reader:
        kind = reader.which()
        if kind == "row":
            return Row(reader.number, reader.last, reader.moved, _read_row(reader.row))
        if kind == "piece":
            return _Part(reader.number, reader.last, reader.piece.data, reader.piece.last)
        content: Begin | SequenceChange | SchemaChange
        if kind == "begin":
            content = read_begin(reader.begin)
            if len(content.id) != TRANSACTION_ID_SIZE:
                raise WireError(f"a transaction's id: expected {TRANSACTION_ID_SIZE} bytes, found {len(content.id)}")
        elif kind == "statement":
            content = SchemaChange(sql=reader.statement)
        else:
            value = None if reader.sequence.gone else reader.sequence.value
            content = SequenceChange(table=reader.sequence.table, value=value)
        return _Other(reader.number, reader.last, content)


def _read_row(reader: Any) -> RowChange:
    raw = reader.operation.raw
    if raw not in OPERATIONS:
        raise WireError(f"a row change: expected an operation of 1 to {len(OPERATIONS)}, found {raw}")
    operation = OPERATIONS[raw]
    return RowChange(
        layout=reader.layout,
        operation=operation,
        rowid_before=reader.rowidBefore if reader.hasRowidBefore else None,
        rowid_after=reader.rowidAfter if reader.hasRowidAfter else None,
        before=None if operation is Operation.INSERT else tuple(map(_read_value, reader.before)),
        after=None if operation is Operation.DELETE else tuple(map(_read_value, reader.after)),
    )


def _read_value(reader: Any) -> Value:
    kind = reader.which()
    if kind == "rawText":
        return RawText(reader.rawText)
    value: Value = None if kind == "null" else getattr(reader, str(kind))
    return value
