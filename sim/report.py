"""What people read: one run's summary, a failure with all that is needed to replay it, a sweep's summary."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from attrs import asdict
from rich.console import Console
from rich.table import Table

from sim.outside_marks import OUTSIDE_MARKS
from sim.result import Result
from sim.shrink import Shrunk
from sim.sweep import Sweep
from sim.timeline.describe import is_client

CLIENT_LINES = 4
NODE_LINES = 20
"""Of the last events of each, in a failure's report."""


def replay_command(seed: int, *, overrides: Mapping[str, Any] | None = None, bug: str = "") -> str:
    """What shows this run again, to be pasted into a shell."""
    return f"python -m sim replay {seed}{_flags(overrides, bug)}"


def shrink_command(seed: int, *, overrides: Mapping[str, Any] | None = None, bug: str = "") -> str:
    """What looks for a smaller run that breaks the same."""
    return f"python -m sim shrink {seed}{_flags(overrides, bug)}"


def _flags(overrides: Mapping[str, Any] | None, bug: str) -> str:
    text = f" --bug {bug}" if bug else ""
    return text + (f" --overrides {shlex.quote(json.dumps(overrides, separators=(',', ':')))}" if overrides else "")


def print_result(
    console: Console, result: Result, *, overrides: Mapping[str, Any] | None = None, bug: str = ""
) -> None:
    """One run, good or bad."""
    word = "[green]holds[/]" if result.ok else "[red]BROKEN[/]"
    console.print(
        f"seed {result.seed} {word}: {result.ops_committed} ops committed, {result.acknowledged} requests answered, "
        f"{result.crashes} crashes, {sum(result.checks.values())} checks, "
        f"{result.virtual_seconds:.2f} s virtual, {result.wall_seconds:.2f} s real"
    )
    fired = ", ".join(f"{kind} {count}" for kind, count in sorted(result.faults.items()) if count)
    console.print(f"faults: {fired or 'none'}")
    if result.stopped:
        console.print(f"stopped as it must: {result.stopped}", markup=False)
    console.print(f"digest {result.digest}", markup=False)
    if not result.ok:
        print_failure(console, result, overrides=overrides, bug=bug)


def print_failure(
    console: Console, result: Result, *, overrides: Mapping[str, Any] | None = None, bug: str = ""
) -> None:
    """Each node's last events, then seed, commit, invariant, message, and the commands that tell more."""
    assert result.violation is not None
    for lane in sorted(result.last_events, key=_far_from_the_end):
        console.print(f"[bold]the last events of {lane}[/]")
        for line in result.last_events[lane][-(CLIENT_LINES if is_client(lane) else NODE_LINES) :]:
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"[red]seed {result.seed}, commit {result.commit}: {result.violation.invariant} broke[/]")
    console.print(result.violation.message, markup=False, soft_wrap=True)
    again = replay_command(result.seed, overrides=overrides, bug=bug)
    smaller = shrink_command(result.seed, overrides=overrides, bug=bug)
    for what, command in (("replay", again), ("look at it", f"{again} --html run.html"), ("make it smaller", smaller)):
        console.print(f"{what + ':':<17}{command}", markup=False, highlight=False, soft_wrap=True)


def print_shrunk(console: Console, shrunk: Shrunk, *, bug: str = "") -> None:
    """What broke, how large the run was and is, and the command that replays the smallest."""
    assert shrunk.smallest.violation is not None
    table = Table("size", "before", "after")
    for name, before in asdict(shrunk.before).items():
        table.add_row(name.replace("_", " "), f"{before:g}", f"{getattr(shrunk.after, name):g}")
    console.print(table)
    end = "no step makes it smaller" if shrunk.finished else "there may be a smaller one: the search was cut short"
    console.print(f"{shrunk.runs} runs; {end}")
    console.print(f"[red]{shrunk.smallest.violation.invariant} still breaks[/]")
    console.print(shrunk.smallest.violation.message, markup=False, soft_wrap=True)
    again = replay_command(shrunk.smallest.seed, overrides=shrunk.overrides, bug=bug)
    console.print(f"replay (with --html run.html as a page): {again}", markup=False, highlight=False, soft_wrap=True)


def shrunk_json(shrunk: Shrunk, *, bug: str = "") -> dict[str, Any]:
    """The object that `shrink --json` prints."""
    smallest = shrunk.smallest
    assert smallest.violation is not None
    return {
        "seed": smallest.seed,
        "ok": False,
        "commit": smallest.commit,
        "violation": {"invariant": smallest.violation.invariant, "message": smallest.violation.message},
        "overrides": dict(shrunk.overrides),
        "before": asdict(shrunk.before),
        "after": asdict(shrunk.after),
        "runs": shrunk.runs,
        "finished": shrunk.finished,
        "replay": replay_command(smallest.seed, overrides=shrunk.overrides, bug=bug),
    }


def _far_from_the_end(lane: str) -> tuple[int, str]:
    """Clients first, then nodes, then the world with what broke: the end of a report is what is read first."""
    return (0 if is_client(lane) else 1 if lane[1:].isdigit() else 2), lane


def print_sweep(console: Console, found: Sweep, *, overrides: Mapping[str, Any] | None = None) -> None:
    """Counts of faults, the distribution, marks not reached, complaints, and the first failure in full."""
    table = Table("fault", "fired", "seeds")
    for kind, count in sorted(found.faults.items()):
        seeds = sum(run.faults.get(kind, 0) > 0 for run in found.results)
        table.add_row(kind, str(count), str(seeds))
    console.print(table)
    console.print("medians: " + ", ".join(f"{name} {value:g}" for name, value in found.distribution.items()))
    stopped = sum(bool(run.stopped) for run in found.results)
    console.print(f"{stopped} of {len(found.results)} runs ended with a node that stopped as it must")
    missed = found.missed_marks()
    outside = f"; {len(OUTSIDE_MARKS)} more mark what isn't simulated (sim/outside_marks.py)"
    console.print(f"{len(missed)} marks not reached: {', '.join(missed) or 'none'}{outside}", markup=False)
    for seed, error in found.errors:
        console.print(f"seed {seed} ended in the simulator itself: {error}", markup=False)
    broken = [run for run in found.results if not run.ok]
    for run in broken[:1]:
        print_failure(console, run, overrides=overrides)
    for run in broken:
        assert run.violation is not None
        console.print(f"seed {run.seed}: {run.violation.invariant}: {run.violation.message[:150]}", markup=False)
    for complaint in found.complaints():
        console.print(f"[red]this sweep doesn't count: {complaint}[/]")
    verdict = "[green]all hold[/]" if found.ok else "[red]FAILED[/]"
    console.print(f"{len(found.results) + len(found.errors)} seeds, {len(found.failing)} failing: {verdict}")
