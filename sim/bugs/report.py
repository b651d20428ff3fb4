"""What a hunt for planted bugs tells: a line as each one ends, a table of all, one object for programs."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from sim.bugs.hunt import Hunt
from sim.bugs.patch import Bug
from sim.report import replay_command
from sim.revision import revision

SLOWEST = 5


def print_hunt(console: Console, hunted: Hunt) -> None:
    """One line, as the hunt ends."""
    if hunted.found:
        console.print(f"{hunted.id}: {hunted.invariant} after {hunted.seeds}", markup=False, highlight=False)
    else:
        others = f"; others that fired: {', '.join(hunted.others[:3])}" if hunted.others else ""
        console.print(f"{hunted.id} wasn't found in {hunted.seeds} seeds{others}", markup=False, highlight=False)


def print_bugs(console: Console, bugs: Sequence[Bug], hunts: Sequence[Hunt]) -> None:
    """All of them as a table, those that weren't found, and how to look at one."""
    table = Table("id", "planted bug", "seeds", "invariant", "expected")
    for bug, hunted in zip(bugs, hunts, strict=True):
        seeds = str(hunted.seeds) if hunted.found else "[red]not found[/]"
        table.add_row(bug.id, bug.what, seeds, hunted.invariant, " ".join(bug.expected))
    console.print(table)
    found = sorted((hunted for hunted in hunts if hunted.found), key=lambda hunted: hunted.seeds)
    for hunted in hunts:
        if not hunted.found:
            print_hunt(console, hunted)
    if found:
        slowest = ", ".join(f"{hunted.id} after {hunted.seeds}" for hunted in reversed(found[-SLOWEST:]))
        middle = median(hunted.seeds for hunted in found)
        console.print(f"{len(found)} of {len(hunts)} found, the median after {middle:g} seeds; slowest: {slowest}")
        command = replay_command(found[0].seed, bug=found[0].id)
        console.print(f"look at one: {command} --html run.html", markup=False, highlight=False)


def hunts_json(hunts: Sequence[Hunt]) -> dict[str, Any]:
    """The object that `bugs --json` prints."""
    return {
        "ok": all(hunted.found for hunted in hunts),
        "commit": revision(),
        "bugs": [
            {
                "id": hunted.id, "found": hunted.found, "seeds": hunted.seeds, "invariant": hunted.invariant,
                "message": hunted.message, "others": list(hunted.others),
                "replay": replay_command(hunted.seed, bug=hunted.id) if hunted.found else "",
            }
            for hunted in hunts
        ],
    }  # fmt: skip
