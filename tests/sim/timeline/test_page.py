"""The page: one file, valid data, nothing from outside, opening at the violation."""

from __future__ import annotations

import json
import re
from typing import Any

from attrs import evolve

from sim.result import Result
from sim.timeline.event import Event
from sim.timeline.page import FOLDER, SCRIPTS, render

COMMANDS = {"replay": "python -m sim replay 9", "shrink": "python -m sim shrink 9"}


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="run">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_page_holds_the_run_and_opens_at_the_violation(events: list[Event], broken: Result) -> None:
    data = data_of(render(events, broken, COMMANDS))
    assert data["run"]["violation"] == {"invariant": "I5", "message": "op 7 </script> is gone"}
    assert data["run"]["commands"] == COMMANDS
    assert data["run"]["faults"] == {"disk.torn": 2}
    assert data["opens_at"] == len(events) - 1
    assert data["lanes"] == ["world", "n0", "n1", "n2", "c0"]
    assert data["events"]["time"] == [event.time_ns for event in events]


def test_a_run_that_holds_opens_at_its_end(events: list[Event], broken: Result) -> None:
    page = render(events[:4], evolve(broken, violation=None), COMMANDS)
    assert data_of(page)["opens_at"] == 3
    assert "<title>seed 9: holds</title>" in page


def test_a_run_without_events_has_a_page(broken: Result) -> None:
    assert data_of(render([], broken, COMMANDS))["events"]["time"] == []


def test_the_page_needs_nothing_from_outside(events: list[Event], broken: Result) -> None:
    page = render(events, broken, COMMANDS)
    assert not re.search(r"https?:|\bsrc=|<link|@import|\bfetch\(|XMLHttpRequest|\bimport\b\s*[({'\"]", page)
    assert "@@" not in page
    assert page.count("</script>") == 2


def test_every_element_that_the_program_asks_for_is_in_the_page() -> None:
    page = (FOLDER / "page.html").read_text()
    program = "".join((FOLDER / name).read_text() for name in SCRIPTS)
    asked = re.findall(r'(?:getElementById|get|on)\("([a-z-]+)"', program)
    assert asked
    assert [name for name in asked if f'id="{name}"' not in page] == []


def test_every_script_of_the_folder_is_in_the_page() -> None:
    assert sorted(SCRIPTS) == sorted(path.name for path in FOLDER.glob("*.js"))
