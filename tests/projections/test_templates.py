"""LatestById and Timeline over a database in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import InvalidEvent
from vdb.projections.apply import Culprit, Span, commit_span, fold, prepare_database
from vdb.projections.config import ProjectionConfig
from vdb.projections.latest import LatestById
from vdb.projections.rows import dump_tables
from vdb.projections.source import OpenedRun
from vdb.projections.tables import ColumnType
from vdb.projections.timeline import Entry, Timeline
from vdb.types import DataClass, GroupId, StreamId, TenantId
from vdb.wire.event import EventEnvelope, encode_batch, encode_envelope

NOTES = LatestById(
    table="notes",
    key="note_id",
    key_path="id",
    columns={"text": "text", "size": "size", "weight": "weight", "urgent": "urgent", "at": "at",
             "tags": "tags", "by": "@actor"},
    types={
        "size": ColumnType.INTEGER,
        "weight": ColumnType.REAL,
        "urgent": ColumnType.BOOLEAN,
        "at": ColumnType.TIME,
        "tags": ColumnType.JSON,
    },
    events=("created", "amended"),
    deletes=("withdrawn",),
    constants={"created": {"status": "draft"}},
)  # fmt: skip

TIMELINE = Timeline(
    table="timeline",
    subject_column="patient",
    fields=("summary", "status"),
    entries=(
        Entry(type="created", kind="note", id="id", subject="@subject", subject_prefix="Patient/", time="at",
              fields={"summary": "text"}, constants={"status": "new"}),
        Entry(type="renamed", kind="note", id="id", subject="@subject", subject_prefix="Patient/",
              fields={"summary": "text"}),
        Entry(type="gone", kind="note", id="id", subject="@subject", delete=True),
    ),
)  # fmt: skip


@pytest.fixture
def rows_of(log: Any, envelope: Any, memory_database: sqlite3.Connection) -> Callable[..., list[tuple[Any, ...]]]:
    def rows_of(template: Any, *events: tuple[str, bytes]) -> list[tuple[Any, ...]]:
        config = ProjectionConfig(name="p", streams=["notes"], template=template)
        for type_, body in events:
            log.publish("notes", [envelope(type_, body, subject="Patient/7")])
        fold([run for runs in log.runs.values() for run in runs], config, memory_database)
        return dump_tables(memory_database)[template.table]

    return rows_of


def test_every_type_of_column(rows_of: Any) -> None:
    body = b'{"id":"n1","text":"hi","size":3,"weight":2,"urgent":true,"at":"1970-01-01T01:00:00+01:00"'
    body += b',"tags":["a",{"b":1}]}'
    assert rows_of(NOTES, ("created", body)) == [("n1", "hi", 3, 2.0, 1, 0, '["a",{"b":1}]', "dr", "draft")]


def test_events_change_the_columns_they_hold(rows_of: Any) -> None:
    rows = rows_of(
        NOTES,
        ("created", b'{"id":"n1","text":"hi","size":3}'),
        ("amended", b'{"id":"n1","text":"ho","size":null}'),
        ("of no interest", b'{"id":"n2"}'),
    )
    assert [row[:3] for row in rows] == [("n1", "ho", 3)]


def test_nulls_clear_where_that_is_asked_for(rows_of: Any) -> None:
    template = LatestById(table="notes", key_path="id", columns={"text": "text"}, nulls="clear")
    assert rows_of(template, ("a", b'{"id":"n1","text":"hi"}'), ("b", b'{"id":"n1","text":null}')) == [("n1", None)]


def test_a_delete_removes_the_row_and_a_later_event_makes_a_new_one(rows_of: Any) -> None:
    events = [("created", b'{"id":"n1","text":"hi","size":3}'), ("withdrawn", b'{"id":"n1"}')]
    assert rows_of(NOTES, *events) == []


def test_a_row_made_after_a_delete_is_new(rows_of: Any) -> None:
    rows = rows_of(
        NOTES,
        ("created", b'{"id":"n1","text":"hi","size":3}'),
        ("withdrawn", b'{"id":"n1"}'),
        ("amended", b'{"id":"n1","text":"ho"}'),
    )
    assert rows == [("n1", "ho", None, None, None, None, None, "dr", None)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"text":"Ada"}', "column 'note_id' is a key: expected a value at id, found none"),
        (b'{"id":null}', "column 'note_id' is a key"),
        (b'{"id":1,"size":"Ada"}', "column 'size' takes integer; at size found a string that isn't one"),
        (b'{"id":1,"size":true}', "at size found a boolean"),
        (b'{"id":1,"size":99999999999999999999}', "at size found a number"),
        (b'{"id":1,"urgent":1}', "column 'urgent' takes boolean"),
        (b'{"id":1,"weight":"Ada"}', "column 'weight' takes real"),
        (b'{"id":1,"at":"Ada"}', "column 'at' takes time"),
        (b"Ada", "an event's body isn't JSON"),
        (b'{"id":"\xff"}', "an event's body isn't JSON"),
    ],
)
def test_what_does_not_fit_is_named_without_values(rows_of: Any, body: bytes, message: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        rows_of(NOTES, ("created", body))
    assert message in str(caught.value)
    assert "Ada" not in str(caught.value)


def test_opaque_json_payloads(log: Any, memory_database: sqlite3.Connection) -> None:
    template = LatestById(
        table="resources",
        key_path="id",
        columns={"name": "name"},
        events=("Patient",),
        payload="json",
        type_path="kind",
    )
    config = ProjectionConfig(name="p", streams=["raw*"], template=template)
    log.publish("raw1", [b'{"kind":"Patient","id":"1","name":"x"}', b'{"kind":"Device","id":"2"}', b"[]"], schema_id=0)
    fold(log.runs[log.groups()[1]], config, memory_database)
    assert dump_tables(memory_database)["resources"] == [("1", "x")]


def test_opaque_payloads_are_passed_over_unless_they_are_asked_for(log: Any, memory_database: Any) -> None:
    log.publish("notes", [b"not json"], schema_id=0)
    for template in (LatestById(table="a", key_path="id", columns={}), TIMELINE):
        config = ProjectionConfig(name="p", streams=["notes"], template=template)
        fold(log.runs[log.groups()[1]], config, memory_database)
    assert dump_tables(memory_database) == {"a": [], "timeline": []}


def test_a_timeline_entry_follows_its_events(rows_of: Any) -> None:
    rows = rows_of(
        TIMELINE,
        ("created", b'{"id":"n1","text":"hi","at":"1970-01-01T00:00:01Z"}'),
        ("renamed", b'{"id":"n1","text":"ho"}'),
        ("created", b'{"id":"n2","text":{"deep":1},"at":"soon"}'),
        ("created", b'{"id":"n3","text":"hi"}'),
        ("gone", b'{"id":"n3"}'),
    )
    assert rows == [
        ("note", "n1", "7", 1_000_000, "1970-01-01T00:00:01Z", "ho", "new"),
        ("note", "n2", "7", None, "soon", '{"deep":1}', "new"),
    ]


def test_an_event_without_a_subject_is_on_nobodys_timeline(log: Any, envelope: Any, memory_database: Any) -> None:
    log.publish("notes", [envelope("created", b'{"id":"n1"}')])
    config = ProjectionConfig(name="p", streams=["notes"], template=TIMELINE)
    fold(log.runs[log.groups()[1]], config, memory_database)
    assert dump_tables(memory_database) == {"timeline": []}


def test_a_timeline_may_take_its_time_from_the_envelope(rows_of: Any) -> None:
    entry = Entry(type="created", kind="note", id="@event_id", subject="@subject", time="@time")
    rows = rows_of(Timeline(table="t", entries=(entry,)), ("created", b"{}"))
    assert rows == [("note", "00" * 16, "Patient/7", 1_000_000, None, None)]


VALUES = st.one_of(
    st.none(), st.text(max_size=3), st.integers(-(2**64), 2**64), st.booleans(), st.floats(0, 9), st.just([])
)
BODIES = st.dictionaries(st.sampled_from(("id", "text", "size", "urgent", "weight", "more")), VALUES, max_size=6)
EVENTS = st.lists(st.tuples(st.sampled_from(("created", "amended", "withdrawn", "other")), BODIES), max_size=12)


@given(events=EVENTS, nulls=st.sampled_from(("keep", "clear")))
def test_events_that_look_alike_give_the_same_rows_as_each_alone(events: Any, nulls: Any) -> None:
    template = LatestById(
        table="notes",
        key="note_id",
        key_path="id",
        columns={name: name for name in ("text", "size", "urgent", "weight")},
        types={"size": ColumnType.INTEGER, "urgent": ColumnType.BOOLEAN, "weight": ColumnType.REAL},
        events=("created", "amended"),
        deletes=("withdrawn",),
        constants={"created": {"status": "draft"}, "amended": {"text": "-"}},
        nulls=nulls,
    )
    config = ProjectionConfig(name="p", streams=["notes"], template=template)
    payloads = [
        encode_envelope(EventEnvelope(event_id=bytes(16), type=type_, time=0, body=msgspec.json.encode(body)))
        for type_, body in events
    ]
    run = OpenedRun(
        tenant=TenantId(1), group=GroupId("g"), stream="notes", stream_id=StreamId(1), first_offset=0, first_position=0,
        time=0, data_class=DataClass.PHI, schema_id=1, batch=encode_batch(payloads), event_ids=b"", count=len(payloads),
    )  # fmt: skip
    found = [_applied(config, run, exact=exact) for exact in (False, True)]
    assert found[0] == found[1]


def _applied(config: ProjectionConfig, run: OpenedRun, *, exact: bool) -> object:
    """The rows, or the class of what failed."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    prepare_database(db, config, (run.group,))
    span = Span(group=run.group, runs=(run,), start=0, end=run.count)
    try:
        commit_span(db, config, span, Culprit(exact=exact))
    except (InvalidEvent, OverflowError):
        return "failed"
    else:
        return dump_tables(db)
    finally:
        db.close()
