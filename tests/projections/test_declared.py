"""Declared tables: map, set, increment, delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import frozen

import vdb
from vdb.errors import ConfigError, InvalidEvent
from vdb.testing import given

STAYS = vdb.Table(
    "stays",
    columns={"patient": "text", "ward": "text", "status": "text", "moves": "integer", "cost": "real", "since": "time"},
    key="patient",
)


@vdb.event("stay-begun")
@frozen(kw_only=True)
class Begun:
    id: str | None
    ward: str | None = None


@vdb.event("stay-moved")
@frozen(kw_only=True)
class Moved:
    patient: str
    price: float | None = 1.5


@vdb.event("stay-ended")
@frozen(kw_only=True)
class Ended:
    patient: str


def make_stays(**more: Any) -> vdb.TableProjection:
    return (
        vdb.TableProjection("stays", STAYS, streams=("stays",), **more)
        .map(Begun, patient="id", ward="ward", since="@time")
        .set(Begun, status="here", key={"patient": "id"})
        .increment(Moved, moves=1, cost="price")
        .delete(Ended, patient="patient")
    )


def test_rules_make_rows() -> None:
    outcome = given(Begun(id="1", ward="A"), Begun(id="2"), Moved(patient="1"), Moved(patient="1", price=2)).when(
        make_stays()
    )
    outcome.then_rows(
        "stays",
        [
            {"patient": "1", "ward": "A", "status": "here", "moves": 2, "cost": 3.5, "since": 1767225600000000},
            {"patient": "2", "ward": None, "moves": None},
        ],
    )


def test_a_row_that_is_not_there_is_made() -> None:
    given(Moved(patient="3")).when(make_stays()).then_rows("stays", [("3", None, None, 1, 1.5, None)])


def test_a_row_is_removed_and_made_anew() -> None:
    given(Moved(patient="3"), Ended(patient="3"), Ended(patient="4"), Moved(patient="3")).when(make_stays()).then_rows(
        "stays", [{"patient": "3", "moves": 1}]
    )


def test_null_keeps_a_value_or_clears_it() -> None:
    events = (Begun(id="1", ward="A"), Begun(id="1"))
    given(*events).when(make_stays()).then_rows("stays", [{"ward": "A"}])
    given(*events).when(make_stays(nulls="clear")).then_rows("stays", [{"ward": None}])


def test_events_that_do_not_fit_are_errors() -> None:
    given(Begun(id=None)).when(make_stays()).then_fails(InvalidEvent, "column 'patient' is a key: .* at id, found none")
    given(Moved(patient="1", price=None)).when(make_stays(nulls="clear")).then_fails(
        InvalidEvent, "column 'cost' is counted: expected a number to add, found none"
    )


def test_rows_of_a_failed_batch_name_their_culprit() -> None:
    given(Moved(patient="1"), Begun(id=None), Moved(patient="1")).when(make_stays(on_error="skip")).then_parked(
        1
    ).then_rows("stays", [{"patient": "1", "moves": 2}])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda stays: stays.map(Begun, bed="bed"), "table 'stays' has no column 'bed'; its columns: patient, ward"),
        (lambda stays: stays.set(Begun, patient="x"), r"'patient' is in its key: say where it is found with key="),
        (lambda stays: stays.increment(Begun, ward=1), "'ward' isn't an integer or real column"),
        (lambda stays: stays.delete(Begun, ward="ward"), r"'ward' isn't in its key \(patient\)"),
        (lambda stays: stays.map(Begun, patient="a b"), "a path reads"),
        (lambda stays: vdb.TableProjection("stays", STAYS, streams=("a",)).config(), "has no rule: expected map, set"),
    ],
)
def test_mistakes_are_named(make: Callable[[vdb.TableProjection], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(make_stays())


def test_the_fingerprint_follows_the_rules() -> None:
    one, same = make_stays().config(), make_stays().config()
    assert one.fingerprint() == same.fingerprint()
    assert make_stays().delete(Moved).config().fingerprint() != one.fingerprint()
