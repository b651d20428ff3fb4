"""Options of a run that are changed by hand, on a command line.

    --set clients=1 --set disk.tear=0.0 --set 'disturbances=["crash"]'     one field each; a value is JSON, or a word
    --overrides '{"clients":1,"disk":{"tear":0.0}}'                        the same at once, as `shrink` prints it

A dot reaches into a table. `--set` wins over `--overrides`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs

from sim.options import Options


class BadOverride(ValueError):
    """The options of a run don't take this; the message says why."""


def parse_overrides(seed: int, assignments: Sequence[str], table: str = "") -> dict[str, Any]:
    """The changes to the options of this seed, tried on them. Raises BadOverride."""
    changes = _table(table)
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals:
            raise BadOverride(f"--set takes NAME=VALUE, not {assignment!r}")
        *outer, name = path.strip().split(".")
        if len(outer) > 1:
            raise BadOverride(f"{path}: there are no tables in tables")
        place = changes.setdefault(outer[0], {}) if outer else changes
        if not isinstance(place, dict):
            raise BadOverride(f"{path}: {outer[0]} was given a value, not a table")
        place[name] = _value(value)
    names = [each.name for each in attrs.fields(Options)]
    for name in changes:
        if name not in names:
            raise BadOverride(f"a run has no option {name!r}; it has {', '.join(names)}")
    try:
        Options.draw(seed).override(changes)
    except (TypeError, ValueError, AssertionError) as error:
        raise BadOverride(f"the options of seed {seed} don't take {changes}: {error or 'limits contradict'}") from error
    return changes


def _table(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadOverride(f"--overrides takes a JSON object: {error}") from error
    if not isinstance(found, dict):
        raise BadOverride(f"--overrides takes a JSON object, not {text!r}")
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
