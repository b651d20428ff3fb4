"""Projections of a program on its own database: functions, parked events, effects, and a life after the first."""

from __future__ import annotations

from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from attrs import frozen

import vdb
from vdb.errors import ConfigError

BEDS = vdb.Table("beds", columns={"bed": "text", "patient": "text"}, key="bed")


@vdb.event("embedded-bed-taken", subject="patient")
@frozen(kw_only=True)
class BedTaken:
    bed: str
    patient: str


def make_beds(bad: list[str], told: Queue[list[str]]) -> vdb.Projection:
    beds = vdb.Projection("beds", streams=("ward-*",), tables=[BEDS], on_error="park")

    @beds.on(BedTaken)
    def taken(event: BedTaken, context: vdb.Context) -> None:
        if event.bed in bad:
            raise ValueError(event.bed)
        context.db.execute("INSERT OR REPLACE INTO beds VALUES (?, ?)", (event.bed, context.subject))

    @beds.after_commit
    async def tell(batch: vdb.Batch) -> None:
        told.put([event.event.bed for event in batch.events])

    return beds


def test_rows_effects_and_parked_events_over_two_lives(tmp_path: Path) -> None:
    bad, told = ["2"], Queue[list[str]]()
    beds = make_beds(bad, told)
    with vdb.open(tmp_path / "data", keys=vdb.RootKeys(bytes(range(32))), projections=[beds]) as database:
        database.create_stream("ward-a")
        published = database.append(
            "ward-a", [BedTaken(bed=bed, patient=patient) for bed, patient in (("1", "x"), ("2", "y"), ("3", "y"))]
        )
        database.wait_for("beds", published.position)
        assert database.rows("beds", "beds").rows == (("1", "x"),)
        (status,) = database.status().projections
        assert (status.parked, status.skipped, status.error) == (2, 0, "")
        assert told.get(timeout=60) == ["1"]
    bad.clear()
    with vdb.open(tmp_path / "data", keys=vdb.RootKeys(bytes(range(32))), projections=[[beds]]) as database:
        published = database.append("ward-a", [BedTaken(bed="4", patient="x")])
        database.wait_for("beds", published.position)
        assert database.rows("beds", "beds").rows == (("1", "x"), ("4", "x"))
        assert told.get(timeout=60) == ["4"]
    assert told.empty()


def test_what_is_no_projection_is_refused(tmp_path: Path) -> None:
    def open_with(projection: Any) -> None:
        vdb.open(tmp_path / "data", keys=vdb.RootKeys(bytes(32)), projections=[projection])

    with pytest.raises(ConfigError, match="expected projections"):
        open_with(BedTaken)
    with pytest.raises(ConfigError, match="no_such_module can't be imported: ModuleNotFoundError"):
        open_with("no_such_module:beds")
