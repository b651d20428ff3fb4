"""`python -m sim`: replay a seed, shrink a failing one, sweep many, replay the corpus, hunt the planted bugs.

Exit code 0 when all holds, 1 when an invariant broke (or a sweep doesn't count, or a bug wasn't found), 2 on bad
usage. With --json the last line of standard output is one object. Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import evolve
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sim.bugs.catalogue import BUGS, find_bug
from sim.bugs.hunt import SEEDS_MAX, Hunt, hunt_all
from sim.bugs.record import Record
from sim.bugs.report import hunts_json, print_bugs, print_hunt
from sim.corpus import BadStory, Story, replay_story, stories
from sim.overrides import BadOverride, parse_overrides
from sim.report import (
    print_failure,
    print_result,
    print_shrunk,
    print_sweep,
    replay_command,
    shrink_command,
    shrunk_json,
)
from sim.result import Result
from sim.run import run_seed
from sim.shrink import RUNS_MAX, Job, NothingToShrink, Shrinker
from sim.sweep import sweep
from sim.timeline.attach import attach
from sim.timeline.page import render
from sim.timeline.recording import Recording
from sim.worker import Workers, cores, run_all

DEFAULT_COUNT = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code; argparse itself exits with 2."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=bool(options.json), soft_wrap=True)
    code: int = options.command(options, console)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sim", description="VerityDB's deterministic simulator")
    commands = parser.add_subparsers(required=True)
    replay = commands.add_parser("replay", help="run one seed")
    replay.add_argument("--trace", action="store_true", help="print every event to standard error")
    replay.add_argument("--html", type=Path, metavar="FILE", help="write a page with a space-time diagram of the run")
    replay.set_defaults(command=_replay)
    smaller = commands.add_parser("shrink", help="find a smaller run that still breaks the same invariant")
    smaller.add_argument("--runs", type=_positive, default=RUNS_MAX, help="at most so many runs (default %(default)s)")
    smaller.set_defaults(command=_shrink)
    for command in (replay, smaller):
        command.add_argument("seed", type=_number)
        command.add_argument("--bug", default="", metavar="ID", choices=[bug.id for bug in BUGS], help="plant a bug")
    many = commands.add_parser("sweep", help="run many seeds over all cores")
    many.add_argument("--from", dest="first", type=_number, help="the first seed; drawn when not given")
    many.add_argument("--count", type=_positive, default=DEFAULT_COUNT, help="how many seeds (default %(default)s)")
    many.set_defaults(command=_sweep)
    for command in (replay, smaller, many):
        command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change an option")
        command.add_argument("--overrides", default="", metavar="JSON", help="change options, as shrink prints them")
    corpus = commands.add_parser("corpus", help="replay the seeds that once found a bug")
    corpus.set_defaults(command=_corpus)
    bugs = commands.add_parser("bugs", help="plant known bugs and look for each")
    bugs.add_argument(
        "--only", action="append", metavar="ID", choices=[bug.id for bug in BUGS], help="this one; may come again"
    )
    bugs.add_argument(
        "--seeds", type=_positive, default=SEEDS_MAX, help="give a bug up after so many (default %(default)s)"
    )
    bugs.add_argument(
        "--record", type=Path, metavar="FILE",
        help="write a line for each bug as its hunt ends; what the file says of this commit isn't hunted again",
    )  # fmt: skip
    bugs.set_defaults(command=_bugs)
    for command in (replay, smaller, many, corpus, bugs):
        command.add_argument("--json", action="store_true", help="print one JSON object last")
    for command in (smaller, many, corpus, bugs):
        command.add_argument("--jobs", type=_positive, default=cores(), help="processes (default: all cores)")
    return parser


def _number(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _print_json(value: object) -> None:
    print(json.dumps(value, separators=(",", ":")), flush=True)


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, disable=not console.is_terminal,
    )  # fmt: skip


def _overrides(options: argparse.Namespace, seed: int, console: Console) -> dict[str, Any] | None:
    """The changes of options that were asked for, tried on this seed's; None where they don't fit, which is told."""
    try:
        return parse_overrides(seed, options.set, options.overrides)
    except BadOverride as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return None


def _replay(options: argparse.Namespace, console: Console) -> int:
    overrides = _overrides(options, options.seed, console)
    if overrides is None:
        return 2
    if options.html and not options.html.parent.is_dir():
        console.print(f"there is no folder {options.html.parent} for the page", markup=False)
        return 2
    lines: list[str] | None = [] if options.trace else None
    recordings: list[Recording] = []

    def run(*, record: bool) -> Result:
        ears = (lambda simulation: recordings.append(attach(simulation))) if record else None
        bug = find_bug(options.bug)
        return run_seed(options.seed, overrides=overrides, bug=bug, trace_lines=lines, attach=ears)

    result = run(record=bool(options.html))
    for line in lines or ():
        print(line, file=sys.stderr)
    if not result.ok and not recordings:  # the same run once more, now with messages and all
        lines = None
        again = run(record=True)
        if again.digest != result.digest:
            console.print(f"[red]the run isn't the same twice: digest {again.digest} after {result.digest}[/]")
    if not result.ok and recordings:
        result = evolve(result, last_events=recordings[0].last_lines())
    if options.html:
        named = {"overrides": overrides, "bug": options.bug}
        commands = {"replay": replay_command(options.seed, **named), "shrink": shrink_command(options.seed, **named)}
        options.html.write_text(render(recordings[0].events, result, commands), encoding="utf-8")
        console.print(f"the run as a page: {options.html}", markup=False)
    print_result(console, result, overrides=overrides, bug=options.bug)
    if options.json:
        _print_json(result.as_json())
    return 0 if result.ok else 1


def _shrink(options: argparse.Namespace, console: Console) -> int:
    overrides = _overrides(options, options.seed, console)
    if overrides is None:
        return 2
    job = Job(seed=options.seed, overrides=overrides, bug=options.bug)
    with _progress() as progress, Workers(options.jobs) as workers:
        task = progress.add_task("runs", total=options.runs)

        def tell(shrinker: Shrinker) -> None:
            words = f"runs; {len(shrinker.kept)} steps kept, last: {shrinker.kept[-1]}" if shrinker.kept else "runs"
            progress.update(task, completed=shrinker.runs, description=words)

        try:
            shrunk = Shrinker(job=job, workers=workers, runs_max=options.runs, tell=tell).search()
        except NothingToShrink as error:
            console.print(str(error), markup=False)
            if options.json:
                _print_json({"seed": options.seed, "ok": error.holds, "runs": 1, "message": str(error)})
            return 0 if error.holds else 1
    print_shrunk(console, shrunk, bug=options.bug)
    if options.json:
        _print_json(shrunk_json(shrunk, bug=options.bug))
    return 1


def _sweep(options: argparse.Namespace, console: Console) -> int:
    first = options.first if options.first is not None else secrets.randbelow(10**9)
    overrides = _overrides(options, first, console)
    if overrides is None:
        return 2
    console.print(f"sweep of {options.count} seeds from {first} in {options.jobs} processes")
    failing = 0
    with _progress() as progress:
        task = progress.add_task("seeds", total=options.count)

        def on_result(result: Result) -> None:
            nonlocal failing
            failing += not result.ok
            progress.update(task, advance=1, description=f"seeds, {failing} failing" if failing else "seeds")

        seeds = range(first, first + options.count)
        found = sweep(seeds, workers=options.jobs, overrides=overrides, on_result=on_result)
    print_sweep(console, found, overrides=overrides)
    if options.json:
        _print_json(found.as_json(first))
    return 0 if found.ok else 1


def _corpus(options: argparse.Namespace, console: Console) -> int:
    try:
        todo = stories()
    except BadStory as error:
        console.print(f"[red]{error}[/]")
        return 2
    failing: list[str] = []
    with _progress() as progress:
        task = progress.add_task("stories", total=len(todo))
        for done in run_all(replay_story, todo, workers=options.jobs):
            progress.advance(task)
            failing += _judge(done.job, done.result, done.error, console)
    console.print(f"{len(todo)} stories, {len(failing)} failing {' '.join(failing)}")
    if options.json:
        _print_json({"ok": not failing, "seeds": len(todo), "failing": failing})
    return 1 if failing else 0


def _judge(story: Story, result: Result | None, error: str, console: Console) -> list[str]:
    if result is not None and result.ok:
        return []
    console.print(f"[red]{story.name}[/]: {story.symptom}")
    if result is not None:
        print_failure(console, result, overrides=story.options)
    else:
        console.print(error, markup=False)
    return [story.name]


def _bugs(options: argparse.Namespace, console: Console) -> int:
    chosen = [bug for bug in BUGS if not options.only or bug.id in options.only]
    try:
        record = Record.read(options.record)
    except ValueError as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return 2
    known = len(record.hunts)
    if known:
        console.print(f"{known} hunts of this commit stand in {options.record}", markup=False)
    with _progress() as progress:
        todo = [bug for bug in chosen if bug.id not in record.hunts]
        task = progress.add_task("bugs", total=len(todo))

        def on_result(hunted: Hunt) -> None:
            record.add(hunted)
            progress.advance(task)
            print_hunt(console, hunted)

        hunt_all(todo, workers=options.jobs, on_result=on_result, seeds_max=options.seeds)
    hunts = [record.hunts[bug.id] for bug in chosen]
    print_bugs(console, chosen, hunts)
    if options.json:
        _print_json(hunts_json(hunts))
    return 0 if all(hunted.found for hunted in hunts) else 1


if __name__ == "__main__":
    sys.exit(main())
