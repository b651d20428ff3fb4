"""Overrides of a command line: what reads, and what is refused and how."""

from __future__ import annotations

import pytest

from sim.options import Options
from sim.overrides import BadOverride, parse_overrides


def test_assignments_are_json_or_words_and_reach_into_tables() -> None:
    table = '{"clients": 3, "disk": {"tear": 0.5, "reorder": 0.0}}'
    found = parse_overrides(7, ["clients=1", "disk.tear=0.0", 'disturbances=["crash"]', "projection=false"], table)
    assert found == {
        "clients": 1, "disk": {"tear": 0.0, "reorder": 0.0}, "disturbances": ["crash"], "projection": False,
    }  # fmt: skip
    options = Options.draw(7).override(found)
    assert (options.clients, options.disk.tear, options.disturbances) == (1, 0.0, ("crash",))


def test_nothing_is_nothing() -> None:
    assert parse_overrides(7, []) == {}


@pytest.mark.parametrize(
    ("assignments", "table", "message"),
    [
        (["clients"], "", "--set takes NAME=VALUE, not 'clients'"),
        (["cleints=1"], "", "a run has no option 'cleints'; it has limits, tenants, clients"),
        (["disk.faults.tear=1"], "", "disk.faults.tear: there are no tables in tables"),
        (["disk=1", "disk.tear=0"], "", "disk.tear: disk was given a value, not a table"),
        (["disk.taer=0"], "", "the options of seed 7 don't take .*taer"),
        ([], "{", "--overrides takes a JSON object"),
        ([], "[1]", r"--overrides takes a JSON object, not '\[1\]'"),
    ],
)
def test_what_is_refused_says_why(assignments: list[str], table: str, message: str) -> None:
    with pytest.raises(BadOverride, match=message):
        parse_overrides(7, assignments, table)
