"""Values of the hot path: as frozen ones in all but what happens to who breaks the type check."""

import attrs
import pytest

from vdb.values import fast_frozen


@fast_frozen(kw_only=True)
class Point:
    x: int
    y: int = 0


@fast_frozen
class Pair:
    first: int
    second: bytes = attrs.field(repr=False)


def test_they_are_equal_and_hash_by_their_fields() -> None:
    assert Point(x=1) == Point(x=1, y=0)
    assert Point(x=1) != Point(x=2)
    assert {Point(x=1): "found"}[Point(x=1)] == "found"


def test_options_and_fields_are_those_of_attrs() -> None:
    assert repr(Pair(1, b"secret")) == "Pair(first=1)"
    assert attrs.evolve(Point(x=1), y=5) == Point(x=1, y=5)
    with pytest.raises(TypeError):
        Point(1)  # type: ignore[misc]


def test_no_field_can_be_added() -> None:
    with pytest.raises(AttributeError):
        Pair(1, b"").third = 3  # type: ignore[attr-defined]
