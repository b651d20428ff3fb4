"""Steps take something away, whatever options they meet, and leave options that a run takes."""

from __future__ import annotations

import json

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.options import Options
from sim.shrink import merged
from sim.steps import CALM, LEFT_ALONE, steps


def weight(options: Options, name: str) -> float:
    """How much there is of an option, so that a smaller run has less of some and more of none."""
    value = getattr(options, name)
    if name in CALM:
        return -float(value)
    if isinstance(value, (bool, int, float)):
        return abs(float(value))
    if isinstance(value, tuple):
        return len(value)
    if isinstance(value, str):
        return float(bool(value))
    values = value.values() if isinstance(value, dict) else attrs.asdict(value).values()
    return float(sum(each for each in values if isinstance(each, (int, float))))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9), st.lists(st.integers(0, 200), max_size=12))
def test_each_step_makes_the_options_smaller(seed: int, chosen: list[int]) -> None:
    options = Options.draw(seed)
    names = [each.name for each in attrs.fields(Options) if each.name not in LEFT_ALONE]
    overrides: dict[str, object] = {}
    for number in chosen:
        todo = list(steps(options, None))
        if not todo:
            break
        changes = todo[number % len(todo)].changes(options)
        if changes is None:
            continue
        overrides = merged(overrides, changes)
        smaller = Options.draw(seed).override(json.loads(json.dumps(overrides)))
        assert smaller != options
        assert all(weight(smaller, name) <= weight(options, name) for name in names)
        options = smaller


def test_the_steps_that_take_most_away_come_first() -> None:
    options = Options.draw(1).override({"nodes": 1, "disturbances": ["crash", "bit_rot", "crash"], "requests": 200})
    words = [step.what for step in steps(options, None)]
    assert words[0] == "disturbances without 0 to 2"
    assert words.index("disturbances without 2 to 2") < words.index("requests 1") < words.index("requests 199")


def test_options_at_their_least_have_no_step_left() -> None:
    options = Options.draw(1)
    for _ in range(400):
        changes = next((found for step in steps(options, None) if (found := step.changes(options)) is not None), None)
        if changes is None:
            break
        options = options.override(changes)
    else:
        raise AssertionError("there is always another step")
    assert (options.requests, options.clients, options.disturbances, options.projection) == (1, 1, (), False)


def test_tables_of_overrides_are_one_and_weights_are_replaced() -> None:
    one = {"disk": {"tear": 0.0}, "mix": {"append": 1}, "clients": 3}
    assert merged(one, {"disk": {"reorder": 0.0}, "mix": {"read": 1}, "clients": 1}) == {
        "disk": {"tear": 0.0, "reorder": 0.0}, "mix": {"read": 1}, "clients": 1,
    }  # fmt: skip
