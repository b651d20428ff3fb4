"""Datetimes without a zone are found wherever they may stand, and named by their path."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime
from typing import Annotated, Any, NewType

import attrs
import msgspec
import pytest
from attrs import frozen

from vdb.errors import InvalidEvent
from vdb.events import EventRegistry
from vdb.events.zones import zone_checker

NAIVE = datetime(2026, 3, 1, 9, 30)
AWARE = NAIVE.replace(tzinfo=UTC)


@frozen(kw_only=True)
class Inner:
    at: datetime | None = None
    name: str = ""


@dataclasses.dataclass
class Plain:
    at: datetime = AWARE


class Struct(msgspec.Struct):
    at: datetime = AWARE


Instant = NewType("Instant", datetime)


@frozen(kw_only=True)
class Everything:
    plain: datetime = AWARE
    optional: datetime | None = None
    listed: list[datetime] = attrs.field(factory=list)
    tuples: tuple[tuple[int, datetime], ...] = ()
    mapped: dict[str, datetime] = attrs.field(factory=dict)
    inner: Inner = Inner()
    inners: list[Inner] = attrs.field(factory=list)
    either: int | Inner = 0
    annotated: Annotated[datetime, msgspec.Meta(description="when")] = AWARE
    dataclass: Plain = attrs.field(factory=Plain)
    struct: Struct = attrs.field(factory=Struct)
    new_type: Instant = attrs.field(default=AWARE)
    day: date = date(2026, 3, 1)


REGISTRY = EventRegistry()
REGISTRY.event("everything")(Everything)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"plain": NAIVE}, "$.plain"),
        ({"optional": NAIVE}, "$.optional"),
        ({"listed": [AWARE, NAIVE]}, "$.listed[1]"),
        ({"tuples": ((1, AWARE), (2, NAIVE))}, "$.tuples[1][1]"),
        ({"mapped": {"Ada": NAIVE}}, "$.mapped[...]"),
        ({"inner": Inner(at=NAIVE)}, "$.inner.at"),
        ({"inners": [Inner(), Inner(at=NAIVE)]}, "$.inners[1].at"),
        ({"either": Inner(at=NAIVE)}, "$.either.at"),
        ({"annotated": NAIVE}, "$.annotated"),
        ({"dataclass": Plain(NAIVE)}, "$.dataclass.at"),
        ({"struct": Struct(NAIVE)}, "$.struct.at"),
        ({"new_type": NAIVE}, "$.new_type"),
    ],
)
def test_a_naive_one_is_refused_with_its_path(values: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        REGISTRY.encode_body(Everything(**values))
    assert str(caught.value) == (
        f"event 'everything' version 1: Expected `datetime` with a timezone component at {path}"
    )


def test_others_pass() -> None:
    event = Everything(
        optional=AWARE,
        listed=[AWARE],
        tuples=((1, AWARE),),
        mapped={"a": AWARE},
        inner=Inner(at=AWARE),
        inners=[Inner()],
        either=Inner(at=AWARE),
    )
    assert REGISTRY.decode_body("everything", 1, REGISTRY.encode_body(event)) == event


def test_a_class_without_datetimes_needs_no_checker() -> None:
    @frozen
    class Plain:
        name: str
        day: date
        numbers: list[int]

    assert zone_checker(Plain) is None


@frozen
class Tree:
    at: datetime
    children: list[Tree] = attrs.field(factory=list)


def test_a_class_within_itself_is_looked_at_once() -> None:
    checker = zone_checker(Tree)
    assert checker is not None
    assert checker(Tree(NAIVE), "$") == "$.at"
    assert checker(Tree(AWARE, [Tree(AWARE)]), "$") is None


def test_old_events_with_naive_ones_can_still_be_read() -> None:
    assert REGISTRY.decode_body("everything", 1, b'{"plain":"2026-03-01T09:30:00"}').plain == NAIVE
