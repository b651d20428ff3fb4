"""Planted bugs: a patch applies for one run and leaves nothing; one that is quick to find is found."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from sim.bugs.catalogue import BUGS, find_bug
from sim.bugs.patch import Bug, Replacement, planted
from sim.run import run_seed

OF_THE_PROTOCOL = tuple(str(number) for number in range(1, 34))


class Target:
    @staticmethod
    def still() -> int:
        return 1

    def moving(self) -> int:
        return 1


def test_a_patch_is_taken_back_even_when_the_run_raises() -> None:
    bug = Bug(
        id="t",
        what="",
        expected=(),
        replacements=lambda: (
            Replacement(Target, "still", lambda old: lambda: old() + 1),
            Replacement(Target, "moving", lambda old: lambda self: old(self) + 1),
        ),
    )

    def run() -> None:
        with planted(bug):
            assert (Target.still(), Target().moving()) == (2, 2)
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        run()
    assert (Target.still(), Target().moving()) == (1, 1)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.id)
def test_every_patch_fits_the_product_and_names_its_invariants(bug: Bug) -> None:
    assert bug.expected
    for replacement in bug.replacements():
        before = replacement.owner.__dict__[replacement.name]
        before = getattr(before, "__func__", before)
        made = replacement.make(before)
        if inspect.isfunction(before) and inspect.isfunction(made):
            assert takes_as_much(made, before), f"{replacement.name} is called with more than the patch takes"
    with planted(bug):
        pass


def takes_as_much(made: Callable[..., object], before: Callable[..., object]) -> bool:
    """Whether a patch can be called in each way in which the product calls what it replaces."""
    takes = inspect.signature(made).parameters.values()
    given = inspect.signature(before).parameters.values()
    kinds = [each.kind for each in takes]
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    enough = sum(each.kind in places for each in takes) >= sum(each.kind in places for each in given)
    names = {each.name: None for each in takes}
    by_name = all(each.name in names for each in given if each.kind is inspect.Parameter.KEYWORD_ONLY)
    positional = enough or inspect.Parameter.VAR_POSITIONAL in kinds
    return positional and (by_name or inspect.Parameter.VAR_KEYWORD in kinds)


def test_the_catalogue_is_complete() -> None:
    ids = [bug.id for bug in BUGS]
    assert [number for number in ids if number.isdigit()] == list(OF_THE_PROTOCOL)
    assert len(ids) - len(OF_THE_PROTOCOL) >= 5


def test_an_early_ack_is_found() -> None:
    bug = next(bug for bug in BUGS if bug.id == "1")
    alone = {"nodes": 1}
    violation = run_seed(2, overrides=alone, bug=bug).violation
    assert violation is not None
    assert violation.invariant in bug.expected
    assert run_seed(2, overrides=alone).ok


@pytest.mark.parametrize(("id", "seed", "invariant"), [("7", 4, "I14"), ("11", 1, "I15")])
def test_votes_that_tell_or_are_taken_wrongly_are_found(id: str, seed: int, invariant: str) -> None:
    violation = run_seed(seed, bug=find_bug(id)).violation
    assert violation is not None
    assert violation.invariant == invariant
