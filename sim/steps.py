"""Steps of shrinking: each takes something away from the options of a run.

Steps are made from the fields of `Options` by their types, so a new option is shrunk without a word here: numbers go
down to their least, lists lose stretches of their entries, switches go off, weights and chances go to zero. Those that
make no run smaller are in `LEFT_ALONE`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
from attrs import frozen

from sim.options import Options
from sim.result import Result

Changes = dict[str, Any]

LEFT_ALONE = ("limits", "session_clients", "heal_bound_us", "timing", "tick_us")
LEAST: Mapping[str, int] = {
    "payload_size": 40, "think_us": 0, "clock_skew_us": 0, "clock_drift_ppm": 0, "clock_error_us": 0, "spares": 0,
}  # fmt: skip
"""Of a number; 1 for those that aren't here."""
CALM: Mapping[str, float] = {"scrub_period_s": 86_400.0}
"""Numbers that are at their calmest when they are large."""
FIRST = ("nodes", "spares", "disturbances", "requests", "clients", "tenants", "streams")
"""Options that make a run large, the most telling first; the others follow in the order of `Options`."""
_FRACTIONS = (0.02, 0.06, 0.15, 0.3, 0.5, 0.75, 0.9)


@frozen
class Step:
    """`changes(options)` are overrides that make these options smaller; None where nothing is left to take away."""

    what: str
    changes: Callable[[Options], Changes | None]


def steps(options: Options, result: Result | None) -> Iterator[Step]:
    """All steps that may be taken from here, those that take most away first."""
    if result is not None:
        yield from _to_what_happened(result)
    names = [each.name for each in attrs.fields(Options) if each.name not in LEFT_ALONE]
    for name in sorted(names, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), names.index(name))):
        yield from _of_field(name, getattr(options, name))


def _to_what_happened(result: Result) -> Iterator[Step]:
    """No more requests than were answered before the invariant broke, and a few."""
    for more in (2, 20):
        yield _number("requests", result.acknowledged + more)


def _of_field(name: str, value: object) -> Iterator[Step]:
    if isinstance(value, bool):
        yield Step(f"{name} off", lambda options: {name: False} if getattr(options, name) else None)
    elif name in CALM:
        yield Step(f"{name} calm", lambda options: _if_other(options, name, CALM[name]))
    elif isinstance(value, int):
        yield from _of_number(name, value)
    elif isinstance(value, tuple):
        yield from _of_list(name, len(value))
    elif isinstance(value, Mapping):
        yield from _of_weights(name, value)
    elif attrs.has(type(value)):
        yield from _of_table(name, value)


def _if_other(options: Options, name: str, value: object) -> Changes | None:
    return {name: value} if getattr(options, name) != value else None


def _of_number(name: str, value: int) -> Iterator[Step]:
    least = LEAST.get(name, 1)
    targets = [least, *(least + int((value - least) * part) for part in _FRACTIONS), value - 1]
    for target in dict.fromkeys(targets) if abs(value) > least else ():
        yield _number(name, target)


def _number(name: str, target: int) -> Step:
    def changes(options: Options) -> Changes | None:
        if abs(target) >= abs(getattr(options, name)):
            return None
        return {name: target, **(_harmed_among(options, target) if name == "nodes" else {})}

    return Step(f"{name} {target}", changes)


def _harmed_among(options: Options, nodes: int) -> Changes:
    """Fewer nodes, of which still only a minority may be harmed."""
    return {"harmed": [node for node in options.harmed if node < nodes][: (nodes - 1) // 2]}


def _of_list(name: str, length: int) -> Iterator[Step]:
    """Without everything, then without each half, each quarter, ... each single entry; from the end."""
    size = length
    while size >= 1:
        for start in reversed(range(0, length, size)):
            yield _without(name, start, size)
        size //= 2


def _without(name: str, start: int, size: int) -> Step:
    def changes(options: Options) -> Changes | None:
        entries = list(getattr(options, name))
        kept = entries[:start] + entries[start + size :]
        return {name: kept} if len(kept) < len(entries) else None

    return Step(f"{name} without {start} to {start + size - 1}", changes)


def _of_weights(name: str, weights: Mapping[str, int]) -> Iterator[Step]:
    """One kind of work alone, then without each."""
    for kind in weights:
        yield Step(f"{name} {kind} alone", lambda options, kind=kind: _weighing(options, name, [kind]))  # type: ignore[misc]
    for kind in weights:
        others = [each for each in weights if each != kind]
        yield Step(f"{name} without {kind}", lambda options, kept=others: _weighing(options, name, kept))  # type: ignore[misc]


def _weighing(options: Options, name: str, kept: list[str]) -> Changes | None:
    before: Mapping[str, int] = getattr(options, name)
    after = {kind: weight if kind in kept else 0 for kind, weight in before.items()}
    return {name: after} if any(after.values()) and after != before else None


def _of_table(name: str, table: Any) -> Iterator[Step]:
    """All chances to zero at once, then each."""
    chances = [each.name for each in attrs.fields(type(table)) if isinstance(getattr(table, each.name), float)]
    for some in (chances, *([each] for each in chances)):
        yield Step(f"{name} without {' '.join(some)}", lambda options, some=some: _zeroed(options, name, some))  # type: ignore[misc]


def _zeroed(options: Options, name: str, chances: list[str]) -> Changes | None:
    table = getattr(options, name)
    found = {chance: 0.0 for chance in chances if getattr(table, chance)}
    return {name: found} if found else None
