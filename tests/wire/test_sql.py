"""Transactions become payloads and come back; pycapnp reads the same; damage raises WireError alone."""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Mapping

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from vdb.changes import (
    Attribution,
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
from vdb.wire import schema
from vdb.wire.sql import Payload, Place, TransactionReader, encode_transaction, peek
from vdb.wire.sql_begin import Begin, encode_begin

I64 = st.integers(-(2**63), 2**63 - 1)
NOT_UTF8 = st.binary(max_size=9).map(lambda data: RawText(data + b"\xff"))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.none() | I64 | st.floats(allow_nan=False) | TEXTS | NOT_UTF8 | st.binary(max_size=20)
LAYOUTS = st.builds(
    Layout,
    table=TEXTS,
    columns=st.lists(TEXTS, min_size=1, max_size=4).map(tuple),
    key=st.lists(TEXTS, max_size=2).map(tuple),
    rowid=st.booleans(),
)
ATTRIBUTIONS = st.builds(Attribution, actor=TEXTS, purpose=TEXTS, metadata=st.dictionaries(TEXTS, TEXTS, max_size=3))
ROW = Layout(table="Notes", columns=("id", "patient", "text"), key=("id",))
ID = bytes(range(16))


@st.composite
def row_changes(draw: st.DrawFn, layouts: tuple[Layout, ...]) -> RowChange:
    layout = draw(st.integers(0, len(layouts) - 1))
    columns = len(layouts[layout].columns)
    image = st.lists(VALUES, min_size=columns, max_size=columns).map(tuple)
    operation = draw(st.sampled_from((Operation.INSERT, Operation.UPDATE, Operation.DELETE)))
    before = None if operation is Operation.INSERT else draw(image)
    after = None if operation is Operation.DELETE else draw(image)
    rowids = st.none() | I64
    return RowChange(
        layout=layout,
        operation=operation,
        rowid_before=None if before is None else draw(rowids),
        rowid_after=None if after is None else draw(rowids),
        before=before,
        after=after,
    )


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    layouts = tuple(draw(st.lists(LAYOUTS, max_size=3)))
    steps: st.SearchStrategy[Step] = st.builds(SchemaChange, sql=TEXTS) | st.builds(
        SequenceChange, table=TEXTS, value=st.none() | I64
    )
    if layouts:
        steps |= row_changes(layouts)
    return Transaction(
        id=draw(st.binary(min_size=16, max_size=16)),
        attribution=draw(ATTRIBUTIONS),
        layouts=layouts,
        steps=tuple(draw(st.lists(steps, max_size=6))),
    )


def decode(payloads: list[Payload]) -> Transaction:
    reader = TransactionReader()
    for payload in payloads[:-1]:
        assert reader.feed(payload.data) is None
        assert reader.number > 0
    transaction = reader.feed(payloads[-1].data)
    assert transaction is not None
    assert reader.number == 0
    return transaction


def change(before: tuple[Value, ...] | None, after: tuple[Value, ...] | None) -> RowChange:
    operation = Operation.INSERT if before is None else Operation.DELETE if after is None else Operation.UPDATE
    return RowChange(
        layout=0,
        operation=operation,
        rowid_before=None if before is None else 1,
        rowid_after=None if after is None else 1,
        before=before,
        after=after,
    )


def transaction(*steps: Step, layouts: tuple[Layout, ...] = (ROW,)) -> Transaction:
    return Transaction(id=ID, attribution=Attribution(actor="dr"), layouts=layouts, steps=steps)


# Round trips -----------------------------------------------------------------------------------------------------


@given(transactions(), st.sampled_from([8, 100, 2**20]))
def test_a_transaction_comes_back(found: Transaction, piece_size: int) -> None:
    payloads = encode_transaction(found, piece_size=piece_size)
    assert decode(payloads) == found
    assert [peek(payload.data) for payload in payloads] == [
        Place(number, number == len(payloads) - 1) for number in range(len(payloads))
    ]


@given(transactions(), st.integers(0, 3))
def test_subjects_change_where_images_lie_and_not_what_comes_back(found: Transaction, column: int) -> None:
    subjects = {
        layout.table.lower(): layout.columns[column % len(layout.columns)] for layout in found.layouts if layout.table
    }
    assert decode(encode_transaction(found, subjects)) == found


@given(transactions())
def test_pycapnp_reads_rows_as_they_are_read_by_hand(found: Transaction) -> None:
    for step, payload in zip(found.steps, encode_transaction(found)[1:], strict=True):
        if not isinstance(step, RowChange):
            continue
        with schema.sql.SqlEvent.from_bytes(payload.data) as event:
            row = event.row
            assert (row.layout, row.operation.raw) == (step.layout, step.operation)
            assert (row.hasRowidBefore, row.hasRowidAfter) == (
                step.rowid_before is not None,
                step.rowid_after is not None,
            )
            for image, values in ((step.before, row.before), (step.after, row.after)):
                assert [pycapnp_value(value) for value in values] == list(image or ())


@given(transactions())
def test_rows_that_pycapnp_wrote_are_read(found: Transaction) -> None:
    """Another writer's bytes: the same values, though not always in the same places."""
    payloads = [payload.data for payload in encode_transaction(found)]
    for index, payload in enumerate(payloads):
        with schema.sql.SqlEvent.from_bytes(payload) as event:
            payloads[index] = schema.sql.SqlEvent.new_message(**event.to_dict()).to_bytes()
    assert decode([Payload("", payload) for payload in payloads]) == found


@given(transactions())
def test_small_rows_are_the_bytes_that_pycapnp_makes(found: Transaction) -> None:
    for number, (step, payload) in enumerate(zip(found.steps, encode_transaction(found)[1:], strict=True), 1):
        if isinstance(step, RowChange):
            assert payload.data == pycapnp_row(number, number == len(found.steps), step)


@given(ATTRIBUTIONS, st.lists(LAYOUTS, max_size=3), st.integers(1, 2**32 - 1))
def test_a_begin_is_what_pycapnp_reads(attribution: Attribution, layouts: list[Layout], count: int) -> None:
    data = encode_begin(Begin(id=ID, count=count, attribution=attribution, layouts=tuple(layouts)))
    with schema.sql.SqlEvent.from_bytes(data, traversal_limit_in_words=2 * len(data)) as event:
        begin = event.begin
        assert (event.number, event.last, begin.transaction, begin.count) == (0, count == 1, ID, count)
        assert (begin.actor, begin.purpose) == (attribution.actor, attribution.purpose)
        assert {entry.name: entry.value for entry in begin.metadata} == attribution.metadata
        assert [each.table for each in begin.layouts] == [each.table for each in layouts]
        assert [list(each.columns) for each in begin.layouts] == [list(each.columns) for each in layouts]
        assert [list(each.key) for each in begin.layouts] == [list(each.key) for each in layouts]
        assert [each.rowid for each in begin.layouts] == [each.rowid for each in layouts]


def test_what_is_too_long_for_one_segment_comes_back() -> None:
    layouts = tuple(Layout(table=f"table {n}", columns=tuple(f"column {m}" for m in range(50))) for n in range(40))
    metadata = {f"name {n}": "value " * 9 for n in range(200)}
    found = evolve(transaction(layouts=layouts), attribution=Attribution(actor="a", metadata=metadata))
    assert decode(encode_transaction(found)) == found
    assert decode(encode_transaction(found, piece_size=1000)) == found


@pytest.mark.parametrize("value", ["x" * 100_000, b"x" * 100_000, RawText(b"\xff" * 100_000), -(2**63), math.inf, "\0"])
def test_extreme_values_come_back(value: Value) -> None:
    found = transaction(change((1, value, 2.5), (2, None, value)))
    assert decode(encode_transaction(found)) == found


def test_transactions_follow_each_other() -> None:
    reader = TransactionReader()
    first, second = transaction(change(None, (1, 2, 3))), transaction(change((1, 2, 3), None))
    payloads = encode_transaction(first) + encode_transaction(second)
    assert [reader.feed(payload.data) for payload in payloads] == [None, first, None, second]


def test_the_bytes_are_these() -> None:
    """What lies in logs: a change here makes them unreadable."""
    found = Transaction(
        id=ID,
        attribution=Attribution(actor="dr", purpose="care", metadata={"k": "v"}),
        layouts=(Layout(table="t", columns=("a", "b"), key=("a",)),),
        steps=(
            RowChange(
                layout=0,
                operation=Operation.UPDATE,
                rowid_before=1,
                rowid_after=2,
                before=(1, "é"),
                after=(2.5, RawText(b"\xff")),
            ),
            RowChange(layout=0, operation=Operation.DELETE, rowid_before=2, before=(None, b"\1\2")),
            SequenceChange(table="t", value=7),
            SchemaChange(sql="DROP TABLE t"),
        ),
    )
    payloads = [payload.data.hex() for payload in encode_transaction(found)]
    assert payloads == GOLDEN
    assert decode([Payload("", bytes.fromhex(payload)) for payload in GOLDEN]) == found


GOLDEN = [
    (
        "000000001e00000000000000010001000000000000000000000000000100050005000000000000001100000082000000"
        "150000001a000000150000002a00000015000000170000002500000027000000000102030405060708090a0b0c0d0e0f"
        "647200000000000063617265000000000400000000000200050000001200000005000000120000006b00000000000000"
        "76000000000000000400000001000300010000000000000009000000120000000900000016000000150000000e000000"
        "740000000000000005000000120000000500000012000000610000000000000062000000000000000100000012000000"
        "6100000000000000"
    ),
    (
        "000000001800000000000000010001000100000000000100000000000300020000000000020003000100000000000000"
        "020000000000000005000000370000002100000037000000080000000200010001000000000000000100000000000000"
        "000000000000000003000000000000000000000000000000010000001a000000c3a90000000000000800000002000100"
        "02000000000000000000000000000440000000000000000004000000000000000000000000000000010000000a000000"
        "ff00000000000000"
    ),
    (
        "000000001000000000000000010001000200000000000100000000000300020000000000030001000200000000000000"
        "000000000000000005000000370000000000000000000000080000000200010000000000000000000000000000000000"
        "00000000000000000500000000000000000000000000000001000000120000000102000000000000"
    ),
    (
        "000000000700000000000000010001000300000000000200000000000200010007000000000000000000000000000000"
        "01000000120000007400000000000000"
    ),
    ("000000000500000000000000010001000400000001000300010000006a00000044524f50205441424c45207400000000"),
]


# Subjects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "subject"),
    [
        (None, ""),
        ("p-1", "p-1"),
        (17, "17"),
        ("17", "17"),
        (b"\x0a\x0b", "0a0b"),
        (RawText(b"\xff"), "ff"),
        (1.5, "1.5"),
    ],
)
def test_a_row_lies_under_its_subject(value: Value, subject: str) -> None:
    found = transaction(change(None, (1, value, "text")), SchemaChange(sql="x"), SequenceChange(table="t", value=1))
    subjects = [payload.subject for payload in encode_transaction(found, {"notes": "Patient"})]
    assert subjects == ["", subject, "", ""]


def test_an_update_that_changes_the_subject_is_a_delete_and_an_insert() -> None:
    found = transaction(change((1, "p-1", "a"), (1, "p-2", "b")), change((2, "p-3", "a"), (2, "p-3", "b")))
    payloads = encode_transaction(found, {"notes": "patient"})
    assert [payload.subject for payload in payloads] == ["", "p-1", "p-2", "p-3"]
    assert b"p-2" not in payloads[1].data
    assert b"p-1" not in payloads[2].data
    assert decode(payloads) == found


@pytest.mark.parametrize("subjects", [{}, {"other": "patient"}, {"notes": "gone"}])
def test_a_table_without_a_subject_column_is_nobodys(subjects: Mapping[str, str]) -> None:
    payloads = encode_transaction(transaction(change((1, "p-1", "a"), (1, "p-2", "b"))), subjects)
    assert [payload.subject for payload in payloads] == ["", ""]


def test_a_subject_has_a_size() -> None:
    with pytest.raises(InvalidArgument, match="expected at most 512 bytes, found 600"):
        encode_transaction(transaction(change(None, (1, "x" * 600, ""))), {"notes": "patient"})


def test_an_attribution_is_text() -> None:
    found = evolve(transaction(), attribution=Attribution(actor="\ud800"))
    with pytest.raises(InvalidArgument, match="lone surrogate"):
        encode_transaction(found)


# Damage ----------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_garbage_raises_wire_error_alone(data: bytes) -> None:
    with contextlib.suppress(WireError):
        TransactionReader().feed(data)
    with contextlib.suppress(WireError):
        peek(data)


@given(transactions(), st.data())
def test_damage_raises_wire_error_or_is_read(found: Transaction, data: st.DataObject) -> None:
    payloads = [bytearray(payload.data) for payload in encode_transaction(found)]
    for _ in range(data.draw(st.integers(1, 3))):
        payload = data.draw(st.sampled_from(payloads))
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    reader = TransactionReader()
    with contextlib.suppress(WireError):
        for payload in payloads:
            reader.feed(bytes(payload))


@given(data=st.data())
def test_damaged_rows_are_read_as_pycapnp_reads_them_or_left_to_it(data: st.DataObject) -> None:
    step = change((1, "p-1", "text"), (2, b"blob", RawText(b"\xff")))
    begin, whole = (payload.data for payload in encode_transaction(transaction(step)))
    payload = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(8, len(payload) - 1))] = data.draw(st.integers(0, 255))
    reader = TransactionReader()
    reader.feed(begin)
    try:
        found = reader.feed(bytes(payload))
    except WireError:
        return
    if found is None:
        return
    (read,) = found.steps
    with schema.sql.SqlEvent.from_bytes(bytes(payload)) as event:
        if event.which() != "row":
            return
        assert isinstance(read, RowChange)
        assert [*map(repr, read.before or ())] == [
            repr(pycapnp_value(value)) for value in (event.row.before if read.before is not None else ())
        ]


def test_values_that_share_their_bytes_are_refused() -> None:
    """A small message must not unfold into gigabytes."""
    begin, row = (
        payload.data
        for payload in encode_transaction(
            transaction(
                change(None, (b"x" * 80_000, *[b"y" * 8] * 1000)),
                layouts=(Layout(table="t", columns=tuple(f"c{n}" for n in range(1001))),),
            )
        )
    )
    forged = bytearray(row)
    values_at = 8 * 10
    (first,) = struct.unpack_from("<Q", forged, values_at + 16)
    for index in range(1001):
        pointer = first - (3 * index << 2)
        struct.pack_into("<Q", forged, values_at + 24 * index + 16, pointer)
    reader = TransactionReader()
    reader.feed(begin)
    with pytest.raises(WireError, match="don't follow the encoding"):
        reader.feed(bytes(forged))


STEP = change(None, (1, "p-1", "a"))
MOVED = change((1, "p-1", "a"), (1, "p-2", "b"))


def feed_all(*payloads: Payload) -> None:
    reader = TransactionReader()
    for payload in payloads:
        reader.feed(payload.data)


def test_what_is_out_of_order_is_said() -> None:
    begin, first, second = encode_transaction(transaction(STEP, STEP))
    with pytest.raises(WireError, match="of 0 steps so far: expected its payload 1, found 2"):
        feed_all(begin, second)
    with pytest.raises(WireError, match="of 0 steps so far: expected its payload 0, found 1"):
        feed_all(first)
    with pytest.raises(WireError, match="of 0 steps so far: expected its payload 1, found 0"):
        feed_all(begin, begin)
    short = encode_transaction(transaction(STEP))
    with pytest.raises(WireError, match="expected 3 payloads of it, found 2"):
        feed_all(begin, short[1])


def test_halves_of_a_moved_row_belong_together() -> None:
    begin, delete, insert = encode_transaction(transaction(MOVED), {"notes": "patient"})
    _, plain_first, plain_last = encode_transaction(transaction(STEP, STEP))
    other = encode_transaction(transaction(STEP, SchemaChange(sql="x")))
    with pytest.raises(WireError, match="found another row change"):
        feed_all(begin, delete, plain_last)
    with pytest.raises(WireError, match="found another step"):
        feed_all(begin, delete, other[2])
    swapped = bytearray(insert.data)
    swapped[16] = 1
    with pytest.raises(WireError, match="expected the delete of an update that moved a row, found an INSERT"):
        feed_all(begin, Payload("", bytes(swapped)))
    ended = bytearray(delete.data)
    ended[20] |= 1
    with pytest.raises(WireError, match="ends in the midst of a step"):
        feed_all(begin, Payload("", bytes(ended)))
    assert plain_first.data


def test_pieces_belong_together() -> None:
    long = transaction(change(None, (1, "p-1", "a" * 300)), STEP)
    pieces = encode_transaction(long, piece_size=240)
    whole = encode_transaction(transaction(STEP, STEP, STEP, STEP))
    assert len(pieces) == 4
    with pytest.raises(WireError, match="expected the next piece of a message, found another message"):
        feed_all(pieces[0], pieces[1], whole[2])


def test_layouts_that_are_not_there_are_named() -> None:
    begin, _ = encode_transaction(transaction(STEP))
    _, row = encode_transaction(evolve(transaction(), layouts=(ROW, ROW), steps=(evolve(STEP, layout=1),)))
    with pytest.raises(WireError, match="a row change of layout 1: expected one of the transaction's 1"):
        feed_all(begin, row)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a payload of 0 bytes: expected a positive multiple of 8"),
        (bytes(12), "a payload of 12 bytes"),
        (struct.pack("<II", 2**31, 9), "expected at most 512 segments, found more"),
        (struct.pack("<IIQ", 0, 1, 1), "don't follow the encoding"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, message: str) -> None:
    with pytest.raises(WireError, match=message):
        TransactionReader().feed(data)
    with pytest.raises(WireError, match=message):
        peek(data)


def test_ids_operations_and_kinds_are_checked() -> None:
    new = schema.sql.SqlEvent.new_message
    begin = encode_transaction(transaction(STEP))[0]
    with pytest.raises(WireError, match="id: expected 16 bytes, found 3"):
        feed_all(Payload("", new(begin={"transaction": b"abc"}).to_bytes()))
    with pytest.raises(WireError, match="expected an operation of 1 to 3, found 0"):
        feed_all(begin, Payload("", new(number=1, row={}).to_bytes()))
    inner = new(piece={"data": b"x", "last": True}).to_bytes()
    with pytest.raises(WireError, match="expected no pieces within it, found one"):
        feed_all(Payload("", new(piece={"data": inner, "last": True}).to_bytes()))
    unknown = bytearray(begin.data)
    unknown[22] = 99
    with pytest.raises(WireError):
        feed_all(Payload("", bytes(unknown)))


def pycapnp_value(value: object) -> Value:
    kind = value.which()  # type: ignore[attr-defined]
    if kind == "rawText":
        return RawText(value.rawText)  # type: ignore[attr-defined]
    found: Value = None if kind == "null" else getattr(value, str(kind))
    return found


def pycapnp_row(number: int, last: bool, step: RowChange) -> bytes:
    message = schema.sql.SqlEvent.new_message(number=number, last=last)
    row = message.init("row")
    row.layout, row.operation = step.layout, int(step.operation)
    row.hasRowidBefore, row.hasRowidAfter = step.rowid_before is not None, step.rowid_after is not None
    row.rowidBefore, row.rowidAfter = step.rowid_before or 0, step.rowid_after or 0
    for name, image in (("before", step.before), ("after", step.after)):
        if image is None:
            continue
        values = row.init(name, len(image))
        for target, value in zip(values, image, strict=True):
            match value:
                case None:
                    target.null = None
                case int():
                    target.integer = value
                case float():
                    target.real = value
                case str():
                    target.text = value
                case bytes():
                    target.blob = value
                case RawText():
                    target.rawText = value.data
    encoded: bytes = message.to_bytes()
    return encoded
