"""Projections as functions and as classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import frozen

import vdb
from vdb.errors import ConfigError, HandlerRefused, InvalidEvent, UnknownEventType
from vdb.projections.config import ProjectionConfig
from vdb.projections.given import as_configs, load
from vdb.testing import given, stream
from vdb.types import DataClass

BEDS = vdb.Table("beds", columns={"bed": "text", "patient": "text"}, key="bed")


@vdb.event("bed-taken", version=2, subject="patient")
@frozen(kw_only=True)
class BedTaken:
    bed: str
    patient: str


@vdb.event("bed-left", version=1)
@frozen(kw_only=True)
class BedLeftBefore:
    bed: str


@vdb.event("bed-left", version=2)
@frozen(kw_only=True)
class BedLeft:
    bed: str
    why: str = ""


@vdb.upcast("bed-taken", 1)
def _(body: dict[str, Any]) -> dict[str, Any]:
    return {"bed": body["room"], "patient": body["patient"]}


def take(event: BedTaken, context: vdb.Context) -> None:
    context.db.execute("INSERT OR REPLACE INTO beds VALUES (?, ?)", (event.bed, event.patient))


def make_beds(**more: Any) -> vdb.Projection:
    beds = vdb.Projection("beds", streams=("ward-*",), tables=[BEDS], **more)
    beds.on(BedTaken)(take)
    return beds


class Beds(vdb.ProjectionHandler):
    name, streams, tables, version = "beds", ("ward-*",), [BEDS], 3
    on_error = "park"

    @vdb.handles(BedTaken)
    def taken(self, event: BedTaken, context: vdb.Context) -> None:
        take(event, context)

    @vdb.after_commit
    async def notify(self, batch: vdb.Batch) -> None:
        raise NotImplementedError


def test_functions_take_events_of_their_class() -> None:
    given(BedTaken(bed="1", patient="a"), BedLeft(bed="1")).when(make_beds()).then_rows("beds", [("1", "a")])


def test_a_class_is_a_projection() -> None:
    given(BedTaken(bed="1", patient="a")).when(Beds).then_rows("beds", [("1", "a")])
    given(BedTaken(bed="1", patient="a")).when(Beds()).then_rows("beds", [("1", "a")])
    config = Beds().config()
    assert (config.version, config.on_error.value, len(config.after_commit)) == (3, "park", 1)


def test_a_class_inherits_handlers() -> None:
    class More(Beds):
        @vdb.handles(BedLeft)
        def left(self, event: BedLeft, context: vdb.Context) -> None:
            context.db.execute("DELETE FROM beds WHERE bed = ?", (event.bed,))

    given(BedTaken(bed="1", patient="a"), BedLeft(bed="1")).when(More).then_no_rows("beds")


def test_the_context_says_what_the_log_and_the_envelope_say() -> None:
    seen: list[tuple[Any, ...]] = []
    look = vdb.Projection("beds", streams=("ward-*",), tables=[BEDS])

    @look.on(BedTaken)
    def taken(event: BedTaken, context: vdb.Context) -> None:
        seen.append(
            (
                context.tenant, context.stream, context.offset, context.position.number, context.actor, context.subject,
                context.event_id, context.correlation_id, context.causation_id, context.data_class, context.type,
                context.version, context.occurred_at, context.appended_at, context.occurred, context.time,
            )
        )  # fmt: skip

    at, then = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC)
    event = vdb.NewEvent(
        BedTaken(bed="1", patient="a"), actor="dr.lee", time=then, event_id=bytes(15) + b"\7", causation_id=b"c" * 16
    )
    given(stream("ward-7", BedTaken(bed="0", patient="b"), event, time=at)).when(look)
    assert seen[1] == (
        1, "ward-7", 1, 1, "dr.lee", "a", bytes(15) + b"\7", bytes(15) + b"\1", b"c" * 16, DataClass.PHI, "bed-taken",
        2, then, at, int(then.timestamp() * 1e6), int(at.timestamp() * 1e6),
    )  # fmt: skip
    assert len(dict.fromkeys(seen)) == 2


def test_old_versions_are_upcast(log: Any, envelope: Any, memory_database: Any) -> None:
    from vdb.projections.apply import fold

    log.publish("ward-1", [envelope("bed-taken", b'{"room": "4", "patient": "a"}', version=1)])
    template = vdb.LatestById(table="latest", key="bed", key_path="bed", columns={"patient": "patient"})
    for projection, table in (
        (make_beds(), "beds"),
        (vdb.Projection("latest", streams=["ward-1"], template=template), "latest"),
    ):
        fold([run for runs in log.runs.values() for run in runs], projection.config(), memory_database)
        assert memory_database.execute(f"SELECT * FROM {table}").fetchall() == [("4", "a")]


def test_a_version_without_a_way_to_the_handler_is_an_error() -> None:
    beds = make_beds()

    @beds.on(BedLeft)
    def left(event: BedLeft, context: vdb.Context) -> None: ...

    given(BedLeftBefore(bed="1")).when(beds).then_fails(
        InvalidEvent, "event 'bed-left' version 1: no upcaster leads to the class that a handler takes"
    )


def test_a_name_gives_plain_values() -> None:
    beds = vdb.Projection("beds", streams=("ward-*",), tables=[BEDS])

    @beds.on("bed-taken", "bed-left")
    def seen(body: dict[str, Any], context: vdb.Context) -> None:
        context.db.execute("INSERT OR REPLACE INTO beds VALUES (?, ?)", (body["bed"], body.get("patient", "")))

    given(BedTaken(bed="1", patient="a"), BedLeft(bed="2")).when(beds).then_rows("beds", [("1", "a"), ("2", "")])


def test_a_strict_projection_forgets_no_type() -> None:
    given(BedTaken(bed="1", patient="a"), BedLeft(bed="1")).when(make_beds(strict=True)).then_fails(
        UnknownEventType, "no handler takes 'bed-left': the projection is strict", at=1
    )
    given(BedLeft(bed="1")).when(make_beds(strict=True, ignore=[BedLeft])).then_no_rows("beds")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_beds().on(BedTaken)(take), "has a handler of 'bed-taken' already"),
        (lambda: make_beds().on("bed-taken")(take), "has a handler of 'bed-taken' already"),
        (lambda: make_beds().after_commit(take), "after_commit takes an async function; found a plain one"),
        (lambda: make_beds(on_error="retry"), "on_error: expected one of 'stop', 'park', 'skip'; found 'retry'"),
        (lambda: make_beds(batch_events=0), "a batch has at least one event"),
        (lambda: make_beds(template=vdb.LatestById(table="t", key_path="id", columns={})), "found both"),
        (lambda: vdb.Projection("beds", streams=()), "reads no stream"),
        (lambda: vdb.Projection("beds", streams="bed-*"), r"expected several, such as \('bed-\*',\); found one alone"),
        (lambda: vdb.Projection("Beds!", streams=("a",)), "a projection: expected at most 63 of the characters"),
        (lambda: as_configs([7]), "expected projections .* found int"),
        (lambda: as_configs([vdb.Table]), "expected projections .* found Table"),
        (lambda: as_configs([vdb.ProjectionHandler]), "a projection's class has the attribute 'name'"),
        (lambda: as_configs(["beds"]), "a projection is named MODULE:ATTRIBUTE; found 'beds'"),
        (lambda: load("no.such.module:x"), "no can't be imported|can't be imported: ModuleNotFoundError"),
        (lambda: load("vdb.types:nothing"), "vdb.types has no attribute 'nothing'"),
        (lambda: vdb.Table("t", columns={"a": "txt"}, key="a"), "column 'a': expected a type of 'text'.*found 'txt'"),
        (lambda: vdb.Table("projection_parked", columns=["a"], key="a"), "a table: expected at most 63"),
    ],
)  # fmt: skip
def test_mistakes_are_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_handler_takes_what_it_is_given() -> None:
    beds = vdb.Projection("beds", streams=("a",), tables=[BEDS])
    with pytest.raises(ConfigError, match="handler 'take' takes BedTaken: it can't be given BedLeft"):
        beds.on(BedLeft)(take)
    with pytest.raises(ConfigError, match=r"takes \(event\): expected \(event, context\)"):
        beds.on(BedLeft)(lambda event: None)

    @beds.on(BedTaken, BedLeft)
    def either(event: BedTaken | BedLeft, context: vdb.Context) -> None: ...

    more = vdb.Projection("beds", streams=("a",), tables=[BEDS])
    more.on(BedTaken)(lambda event, context: None)

    @more.on(BedLeft)
    def anything(event: Any, context: Any, note: str = "") -> None: ...


def test_a_handle_is_given_back() -> None:
    kept: list[vdb.Context] = []
    beds = vdb.Projection("beds", streams=("a",), tables=[BEDS])

    @beds.on(BedTaken)
    def keep(event: BedTaken, context: vdb.Context) -> None:
        kept.append(context)

    given(BedTaken(bed="1", patient="a")).when(beds)
    for ask in (kept[0].db.execute, kept[0].db.all, kept[0].db.one):
        with pytest.raises(HandlerRefused, match="a handler's while it is called"):
            ask("SELECT 1")
    with pytest.raises(HandlerRefused, match="a handler's while it is called"):
        kept[0].db.executemany("SELECT 1", [])


def test_a_handler_is_no_async_function() -> None:
    async def taken(event: BedTaken, context: vdb.Context) -> None: ...

    with pytest.raises(ConfigError, match="a handler is a plain function; found an async one"):
        vdb.Projection("beds", streams=("a",), tables=[BEDS]).on(BedTaken)(taken)

    def yields(event: BedTaken, context: vdb.Context) -> Iterator[None]:
        yield None

    with pytest.raises(ConfigError, match="a handler is a plain function; found one that yields"):
        vdb.Projection("beds", streams=("a",), tables=[BEDS]).on(BedTaken)(yields)


def test_a_projection_with_a_template_takes_no_handlers() -> None:
    template = vdb.LatestById(table="t", key_path="id", columns={})
    with pytest.raises(ConfigError, match="has a template: it takes no handlers"):
        vdb.Projection("t", streams=("a",), template=template).on(BedTaken)


def test_projections_are_given_in_all_forms() -> None:
    config = make_beds().config()
    found = as_configs([config, [make_beds(), (Beds,)], "vdb.notebar.projections:NOTES_CURRENT"])
    assert all(isinstance(one, ProjectionConfig) for one in found)
    assert [one.name for one in found] == ["beds", "beds", "beds", "notes_current"]


def test_the_fingerprint_follows_what_is_known() -> None:
    plain, strict = make_beds().config(), make_beds(strict=True).config()
    assert plain.fingerprint() == make_beds(on_error="skip", batch_events=9).config().fingerprint()
    assert plain.fingerprint() != strict.fingerprint()


def test_tables_are_told_in_short() -> None:
    assert vdb.Table("beds", columns=("bed", vdb.Column("patient")), key=("bed",)) == BEDS
    assert vdb.Table("t", columns={"a": vdb.ColumnType.TIME}, key="a", indexes=["a"]).indexes == (("a",),)


def test_streams_of_the_system_have_to_be_meant() -> None:
    def read(*streams: str) -> list[str]:
        wants = vdb.Projection("beds", streams=streams).config().streams.wants
        return [stream for stream in ("bed-1", "$consumers", "$sql/beds") if wants(stream)]

    assert read("*") == ["bed-1"]
    assert read("*", "$consumers") == ["bed-1", "$consumers"]
    assert read("$*") == ["$consumers", "$sql/beds"]
    assert read("*", "$sql/*") == ["bed-1", "$sql/beds"]
