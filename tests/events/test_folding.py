"""Aggregates: which methods apply what, and what they may return."""

from __future__ import annotations

import attrs
import pytest
from attrs import define, frozen

import vdb
from vdb.errors import InvalidArgument
from vdb.events.folding import folder_of


@frozen
class Admitted:
    ward: str


@frozen
class Moved:
    ward: str


@frozen
class Left:
    pass


@define
class Patient:
    ward: str | None = None
    moves: int = 0
    seen: list[str] = attrs.field(factory=list)

    @vdb.applies(Admitted, Moved)
    def placed(self, event: Admitted | Moved) -> None:
        self.ward = event.ward
        self.moves += 1

    @vdb.applies(Left)
    def left(self, event: Left) -> Patient:
        return Patient(moves=self.moves)


class Loud(Patient):
    @vdb.applies(Left)
    def gone(self, event: Left) -> None:
        self.seen.append("left")

    def placed(self, event: Admitted | Moved) -> None:
        super().placed(event)
        self.seen.append(event.ward)


def fold(cls: type, *events: object) -> object:
    folder = folder_of(cls)
    state = folder.start()
    for event in events:
        state = folder.apply(state, event)
    return state


def test_methods_change_the_object_or_return_another() -> None:
    assert fold(Patient, Admitted("a"), Moved("b")) == Patient("b", 2)
    assert fold(Patient, Admitted("a"), Left(), Moved("c")) == Patient("c", 2)


def test_events_that_no_method_applies_are_passed_over() -> None:
    assert fold(Patient, "something else", 7) == Patient()


def test_a_subclass_replaces_what_its_base_applies() -> None:
    found = fold(Loud, Admitted("a"), Left())
    assert isinstance(found, Loud)
    assert (found.ward, found.seen) == ("a", ["a", "left"])


def test_what_can_not_be_folded_is_said() -> None:
    with pytest.raises(InvalidArgument, match="no method of Admitted applies an event"):
        folder_of(Admitted)
    with pytest.raises(InvalidArgument, match="a method applies classes of events; found str"):
        vdb.applies("admitted")
    with pytest.raises(InvalidArgument, match="at least one class of events; found none"):
        vdb.applies()

    class Twice:
        @vdb.applies(Left)
        def one(self, event: Left) -> None: ...

        @vdb.applies(Left)
        def two(self, event: Left) -> None: ...

    with pytest.raises(InvalidArgument, match=r"two methods of .*Twice apply Left"):
        folder_of(Twice)

    class Needy:
        def __init__(self, name: str) -> None: ...

        @vdb.applies(Left)
        def one(self, event: Left) -> None: ...

    with pytest.raises(InvalidArgument, match=r"Needy has no state to begin with: .*name"):
        folder_of(Needy).start()
