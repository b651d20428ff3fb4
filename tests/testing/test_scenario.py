"""The kit: what it lets through, and what it finds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import frozen

import vdb
from vdb.errors import HandlerRefused
from vdb.testing import given, stream

pytestmark = pytest.mark.filterwarnings("error")

WARDS = vdb.Table("wards", columns={"ward": "text", "patients": "integer", "last": "time"}, key="ward")


@vdb.event("kit-admitted", subject="patient_id")
@frozen(kw_only=True)
class Admitted:
    patient_id: str
    ward: str = "A"


@vdb.event("kit-discharged", subject="patient_id")
@frozen(kw_only=True)
class Discharged:
    patient_id: str
    ward: str = "A"


def make_wards(**more: Any) -> vdb.Projection:
    wards = vdb.Projection("wards", streams=("patient-*",), tables=[WARDS], **more)

    @wards.on(Admitted)
    def admitted(event: Admitted, context: vdb.Context) -> None:
        if event.ward == "":
            raise ValueError(event.patient_id)
        context.db.execute(
            "INSERT INTO wards VALUES (?, 1, ?) "
            "ON CONFLICT DO UPDATE SET patients = patients + 1, last = excluded.last",
            (event.ward, context.time),
        )

    @wards.on(Discharged)
    def discharged(event: Discharged, context: vdb.Context) -> None:
        context.db.execute("UPDATE wards SET patients = patients - 1 WHERE ward = ?", (event.ward,))

    return wards


def admissions(count: int) -> list[Admitted]:
    return [Admitted(patient_id=str(number)) for number in range(count)]


def test_rows_are_what_events_make_of_them() -> None:
    at = datetime(2026, 3, 1, 8, tzinfo=UTC)
    outcome = (
        given(*admissions(7))
        .when(
            make_wards(), stream("patient-9", Discharged(patient_id="1"), Admitted(patient_id="8", ward="B"), time=at)
        )
        .then_rows("wards", [{"ward": "A", "patients": 6}, ("B", 1, 1772352000000000)])
    )
    assert outcome.rows()[1] == {"ward": "B", "patients": 1, "last": 1772352000000000}
    with pytest.raises(AssertionError, match=r"expected the row \{'ward': 'C'\}"):
        outcome.then_rows("wards", [{"ward": "C"}])
    with pytest.raises(AssertionError, match="expected 1 rows; found these too"):
        outcome.then_rows("wards", [{"ward": "A"}])
    with pytest.raises(AssertionError, match=r"one of the projection's tables \(wards\); found 'ward'"):
        outcome.then_rows("ward", [])


def test_no_events_make_no_rows() -> None:
    given().when(make_wards()).then_no_rows("wards").then_parked()


def test_rows_that_depend_on_memory_are_found() -> None:
    seen: list[str] = []
    counted = vdb.Projection("wards", streams=("patient-*",), tables=[WARDS])

    @counted.on(Admitted)
    def admitted(event: Admitted, context: vdb.Context) -> None:
        seen.append(event.patient_id)
        context.db.execute("INSERT OR REPLACE INTO wards VALUES (?, ?, 0)", (event.ward, len(seen)))

    with pytest.raises(AssertionError, match="the same events, one by one, give other rows"):
        given(*admissions(2)).when(counted)


def test_memory_of_a_class_is_lost_with_its_life() -> None:
    class Wards(vdb.ProjectionHandler):
        name, streams, tables = "wards", ("patient-*",), (WARDS,)

        def __init__(self) -> None:
            self.seen = 0

        @vdb.handles(Admitted)
        def admitted(self, event: Admitted, context: vdb.Context) -> None:
            self.seen += 1
            context.db.execute("INSERT OR REPLACE INTO wards VALUES (?, ?, 0)", (event.ward, self.seen))

    with pytest.raises(AssertionError, match="the same events, delivered twice, give other rows"):
        given(*admissions(4)).when(Wards)


def test_a_projection_that_stops() -> None:
    outcome = given(*admissions(2), Admitted(patient_id="3", ward="")).when(make_wards(), *admissions(1))
    outcome.then_fails(ValueError, "3", at=2)
    with pytest.raises(AssertionError, match=r"the projection stopped at event 2: ValueError\('3'\)"):
        outcome.then_rows("wards", [])
    with pytest.raises(AssertionError, match="expected KeyError with ''; found ValueError"):
        outcome.then_fails(KeyError)
    with pytest.raises(AssertionError, match="expected it to stop at event 1; it stopped at 2"):
        outcome.then_fails(ValueError, at=1)
    with pytest.raises(AssertionError, match="it didn't stop"):
        given().when(make_wards()).then_fails(ValueError)


def test_a_projection_that_parks() -> None:
    given(
        Admitted(patient_id="1"),
        Admitted(patient_id="2", ward=""),
        Discharged(patient_id="2"),
        Admitted(patient_id="3"),
    ).when(make_wards(on_error="park")).then_parked(1).then_rows("wards", [{"ward": "A", "patients": 2}])


def test_a_projection_that_skips() -> None:
    given(Admitted(patient_id="2", ward=""), Discharged(patient_id="2"), Admitted(patient_id="3")).when(
        make_wards(on_error="skip")
    ).then_parked(0).then_rows("wards", [{"ward": "A", "patients": 1}])


async def test_what_effects_would_be_given() -> None:
    outcome = given(*admissions(2)).when(make_wards(), Discharged(patient_id="0"))
    assert [[event.type for event in batch.events] for batch in outcome.batches] == [
        ["kit-admitted", "kit-admitted"],
        ["kit-discharged"],
    ]
    assert outcome.batches[0].events[1].subject == "1"
    assert await outcome.batches[1].all("SELECT patients FROM wards") == [(1,)]


def test_what_a_handler_may_not_ask_is_refused() -> None:
    guess = vdb.Projection("wards", streams=("patient-*",), tables=[WARDS])

    @guess.on(Admitted)
    def admitted(event: Admitted, context: vdb.Context) -> None:
        context.db.execute("INSERT INTO wards VALUES (?, abs(random()), 0)", (event.ward,))

    given(*admissions(1)).when(guess).then_fails(HandlerRefused, r"random\(\) draws lots", at=0)


def test_declared_tables_and_templates() -> None:
    counted = vdb.TableProjection("wards", WARDS, streams=("patient-*",)).increment(Admitted, patients=1)
    given(*admissions(9)).when(counted).then_rows("wards", [("A", 9, None)])
    latest = vdb.Projection(
        "latest",
        streams=["patients"],
        template=vdb.LatestById(table="t", key_path="patient_id", columns={"ward": "ward"}),
    )
    given(*admissions(3)).when(latest, Admitted(patient_id="0", ward="B")).then_rows(
        "t", [("0", "B"), ("1", "A"), ("2", "A")]
    )
