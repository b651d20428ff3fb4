"""`vdb projection rebuild|switch|diff|status`: what a person and what a script are told."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

import vdb
from vdb.cli.projection_status import age_text, building_text, print_group_alarms, print_projections
from vdb.status import GroupStatus, ProjectionBuilding, ProjectionStatus
from vdb.types import GroupId, Position
from vdb.wire.event import ENVELOPE_SCHEMA, EventEnvelope, encode_envelope

Vdb = Callable[..., Any]

BEDS = """
[[projection]]
name = "beds"
streams = ["wards"]
[projection.latest-by-id]
key = "bed"
columns = { ward = "ward" }
"""
WIDER = BEDS.replace('"beds"\n', '"beds"\nversion = 2\n').replace('ward = "ward"', 'ward = "room"')


@pytest.fixture(scope="module")
def node(start_node: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A node with a projection of its own."""
    return start_node(tmp_path_factory.mktemp("beds"), config=BEDS)


def publish(address: str, *bodies: str) -> None:
    with vdb.connect_sync(address) as client:
        client.create_stream("wards", "phi", "ap-southeast-2", if_not_exists=True)
        for body in bodies:
            envelope = EventEnvelope(event_id=b"i" * 16, type="bed-seen", version=1, time=0, body=body.encode())
            client.publish("wards", encode_envelope(envelope), schema_id=ENVELOPE_SCHEMA)


def beds_of(vdb_at: Vdb) -> dict[str, Any]:
    """The projection among those of the node."""
    objects: list[dict[str, Any]] = vdb_at("projection", "status", "--json").objects
    return next((found for found in objects if found["projection"] == "beds"), {"version": None})


def test_rebuild_compare_switch_and_back(vdb_at: Vdb, node: Any) -> None:
    beds = ("--projection", "beds")
    publish(node.address, *(f'{{"bed": "{bed}", "ward": "w"}}' for bed in "abc"))
    unknown = vdb_at("projection", "rebuild", "--projection", "bed")
    assert (unknown.code, unknown.err) == (1, "error: tenant 1 has no projection 'bed' on this node yet\n")
    early = vdb_at("projection", "switch", *beds, "--json")
    assert early.code == 2
    assert early.error["message"] == "projection 'beds': nothing is built beside the rows in use"

    found = vdb_at("projection", "rebuild", *beds, "--hold")
    assert found.code == 0
    assert found.out.startswith("projection 'beds' is built as generation 2 after 0.")
    assert found.err == (
        "note: compare it with `vdb projection diff --projection beds`, and use it with "
        "`vdb projection switch --projection beds`\n"
    )
    status = vdb_at("projection", "status")
    assert status.out.splitlines()[0].split("\t")[:5] == ["projection", "tenant", "version", "state", "lag"]
    assert ["beds", "1", "1", "following", "0"] in [line.split("\t")[:5] for line in status.out.splitlines()]
    assert "its rows are built and waiting: compare with `vdb projection diff --projection beds`" in status.out
    same = vdb_at("projection", "diff", *beds)
    assert (same.code, same.out, same.err) == (0, "no row differs\n", "")
    switched = vdb_at("projection", "switch", *beds)
    assert switched.out == "projection 'beds' uses generation 2\n"
    assert "`vdb projection switch --projection beds --back` goes back to it" in switched.err
    assert vdb_at("projection", "switch", *beds, "--back", "--json").object == {"projection": "beds", "generation": 1}

    built = vdb_at("projection", "rebuild", *beds, "--json")
    assert (built.code, built.err) == (0, "")
    assert built.object.pop("seconds") < 60
    assert {key: value for key, value in built.object.items() if key != "seconds"} == {
        "projection": "beds",
        "state": "in use",
        "generation": 3,
        "version": 1,
        "error": None,
    }
    status = beds_of(vdb_at)
    assert (status["generation"], status["previous_generation"], status["building"], status["alarm"]) == (
        3, 1, None, False,
    )  # fmt: skip
    assert vdb_at("projection", "rebuild", *beds, "--no-wait").out.startswith("projection 'beds' is being built")


def test_a_handler_that_fails_and_what_differs(vdb_at: Vdb, node: Any, start_node: Any) -> None:
    node.end()
    config = node.directory / "node.toml"
    config.write_text(config.read_text().replace(BEDS, WIDER))
    publishing = start_node(node.directory, arguments=["start", "--config", str(config), "--address", "127.0.0.1:0"])
    node.ready = publishing.ready
    deadline = time.monotonic() + 60
    while beds_of(vdb_at)["version"] != 2:
        assert time.monotonic() < deadline
    vdb_at("projection", "switch", "--projection", "beds", "--back")
    status = beds_of(vdb_at)
    assert (status["version"], status["state"]) == (1, "stopped")
    assert "this node has no handlers of its version 1" in status["error"]
    vdb_at("projection", "rebuild", "--projection", "beds", "--hold")
    found = vdb_at("projection", "diff", "--projection", "beds", "--limit", "2")
    lines = found.out.splitlines()
    assert lines[:2] == ["table\tkey\tin use\tbuilt", "beds\tbed=a\tward=w\tward=NULL"]
    assert lines[-1] == "3 rows differ"
    assert "note: 2 of 3 differences shown: use --limit\n" in found.err
    first = vdb_at("projection", "diff", "--projection", "beds", "--json").objects[0]
    assert first == {
        "table": "beds",
        "key": {"bed": "a"},
        "before": {"bed": "a", "ward": "w"},
        "after": {"bed": "a", "ward": None},
    }
    publish(publishing.address, '{"no bed": 1}')
    failed = vdb_at("projection", "rebuild", "--projection", "beds")
    assert failed.code == 1
    assert failed.err.startswith(
        "error: projection 'beds': what was built can't be used: projection 'beds' of tenant 1 "
    )
    assert failed.err.endswith("; the rows in use stay\n")
    publishing.end()


def building(**more: Any) -> ProjectionBuilding:
    values = {
        "generation": 4, "version": 3, "done": 45_000, "total": 200_000, "events_per_second": 21_300.4,
        "eta_seconds": 7.3, "state": "building", "error": "",
    }  # fmt: skip
    return ProjectionBuilding(**{**values, **more})


def projection(**more: Any) -> ProjectionStatus:
    values = {"tenant": 1, "name": "beds", "position": (Position(GroupId("eu"), 9),), "lag": 0, "error": ""}
    return ProjectionStatus(**{**values, **more})


def test_progress_in_words() -> None:
    assert building_text(building()) == "45,000 of 200,000 positions (22 %), 21,300 events/s, about 7.3 s left"
    assert building_text(building(eta_seconds=None)).endswith("21,300 events/s")
    assert building_text(building(done=7, total=7)) == "7 of 7 positions (100 %)"
    assert building_text(building(done=0, total=0)) == "0 of 0 positions (100 %)"
    assert [age_text(seconds) for seconds in (0, 9.94, 59, 119, 120, 7200, 200_000)] == [
        "0.0 s", "9.9 s", "59 s", "119 s", "2 min", "2 h", "2 d",
    ]  # fmt: skip


def test_sentences_under_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_projections(
        [
            projection(building=building(), head_age_us=3_000_000),
            projection(building=building(state="failed", error="its check query gives 1 rows: expected none")),
            projection(lag=1200, age_us=45_000_000, file_seconds=44.0, parked=3, skipped=1),
            projection(lag=5, age_us=45_000_000, file_seconds=44.0, state="stopped", error="why"),
        ]
    )
    table, _, sentences = capsys.readouterr().out.partition("\n\n")
    assert [line.split("\t")[3:8] for line in table.splitlines()[1:]] == [
        ["following", "0", "-", "3.0 s ago", "eu:9"],
        ["following", "0", "-", "-", "eu:9"],
        ["following", "1,200", "45 s", "-", "eu:9"],
        ["stopped", "5", "45 s", "-", "eu:9"],
    ]
    assert sentences.splitlines() == [
        "beds of tenant 1: version 3 is being built beside those in use: 45,000 of 200,000 positions (22 %), "
        "21,300 events/s, about 7.3 s left",
        "beds of tenant 1: what was built as version 3 can't be used: its check query gives 1 rows: expected none",
        "beds of tenant 1: 3 events parked, 1 skipped: see `vdb projection parked --projection beds`",
        "alarm: beds of tenant 1 has stood still for 44 s, with 1,200 events to apply",
        "why",
    ]


def test_an_alarm_of_a_head_that_stands_still(capsys: pytest.CaptureFixture[str]) -> None:
    def group(still_us: int) -> GroupStatus:
        return GroupStatus(
            group="eu", status="normal", view=0, op=9, commit=8, checkpoint_op=0, next_position=1, tenants=1, streams=1,
            sessions=1, scrubbed_at=0, scrub_faults=0, primary=0, primary_address="", epoch=0, members=(), serving=True,
            disk_full=False, still_us=still_us,
        )  # fmt: skip

    print_group_alarms([group(0), group(29_000_000), group(61_000_000)])
    assert capsys.readouterr().out == "\nalarm: requests wait in group eu, and none has committed for 61 s\n"
