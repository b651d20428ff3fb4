"""Events with ids of their own, sent again; a stream that must exist; rows that an append waits for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

import vdb
from vdb.errors import ConfigError, EventIdTaken, InvalidArgument, WrongExpectedOffset
from vdb.world.keys import generate_root_key

IDS = tuple(bytes([number]) * 16 for number in range(4))


@vdb.event("again-noted")
@frozen(kw_only=True)
class Noted:
    text: str


@pytest.fixture
def database() -> Iterator[vdb.EmbeddedDatabase]:
    with vdb.open(":memory:") as database:
        database.create_stream("notes")
        yield database


def noted(text: str, number: int) -> vdb.NewEvent:
    return vdb.NewEvent(Noted(text=text), event_id=IDS[number])


def texts(database: vdb.EmbeddedDatabase) -> list[str]:
    return [one.event.text for one in database.read_events(stream="notes")]


def test_an_append_that_is_sent_again_is_there_once(database: vdb.EmbeddedDatabase) -> None:
    first = database.append("notes", [noted("a", 0), noted("b", 1)], expected=vdb.EMPTY)
    assert database.append("notes", [noted("a", 0), noted("b", 1)], expected=vdb.EMPTY) == first
    assert database.publish("notes", [b"raw"], event_ids=[IDS[2]]).first_offset == 2
    assert database.publish("notes", [b"raw"], event_ids=[IDS[2]], expected=2).first_offset == 2
    with pytest.raises(EventIdTaken, match="stream 'notes' has one of them at offset 0"):
        database.append("notes", [noted("a", 0), noted("c", 3)])
    with pytest.raises(InvalidArgument, match="found one id twice"):
        database.append("notes", [noted("c", 3), noted("c", 3)])
    assert database.get_stream("notes").next_offset == 3


def test_another_process_sends_it_again(tmp_path: Path) -> None:
    keys = generate_root_key()
    answers = []
    for _ in range(2):
        with vdb.open(tmp_path / "data", keys) as database:
            answers.append(database.append("notes", [noted("a", 0)], expected=vdb.EMPTY, create="phi"))
            assert texts(database) == ["a"]
    assert answers[0] == answers[1]


def test_a_stream_that_must_exist(database: vdb.EmbeddedDatabase) -> None:
    with pytest.raises(WrongExpectedOffset, match="expected at least one event, stream 'notes' is at 0"):
        database.append("notes", [Noted(text="a")], expected=vdb.EXISTS)
    database.append("notes", [Noted(text="a")])
    assert database.append("notes", [Noted(text="b")], expected=vdb.EXISTS).first_offset == 1
    database.create_stream("labs")
    both = [vdb.StreamEvents("labs", [Noted(text="x")]), vdb.StreamEvents("notes", expected=vdb.EXISTS)]
    assert [one.next_offset for one in database.append(both)] == [1, 2]


def test_what_was_appended_is_in_inline_rows() -> None:
    table = vdb.Table(name="seen", columns=(vdb.Column("text"),), key=("text",))
    seen = vdb.Projection("seen", streams=("notes",), tables=[table], inline=True)

    @seen.on(Noted)
    def noted_down(event: Noted, context: vdb.Context) -> None:
        context.db.execute("INSERT INTO seen VALUES (?)", (event.text,))

    with vdb.open(":memory:", projections=[seen]) as database:
        database.create_stream("notes")
        for number in range(5):
            database.append("notes", [Noted(text=f"t{number}")])
            assert len(database.rows("seen", "seen").rows) == number + 1


def test_an_inline_projection_cant_gather_events() -> None:
    with pytest.raises(ConfigError, match=r"appends wait for it: expected batch_seconds 0, found 0\.5"):
        vdb.Projection("seen", streams=("notes",), inline=True, batch_seconds=0.5)
