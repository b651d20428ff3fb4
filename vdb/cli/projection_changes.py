"""`vdb projection rebuild|switch|diff`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import trio
from attrs import frozen
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import (
    EXIT_FAILED,
    EXIT_OK,
    error_console,
    print_error,
    print_json,
    print_note,
    print_table,
    print_text,
)
from vdb.cli.projection_status import age_text, building_text
from vdb.client.client import Client
from vdb.client.projection_line import Cells, RowDifference
from vdb.errors import UnknownProjection
from vdb.status import ProjectionBuilding, ProjectionStatus

_LOOK_SECONDS = 0.1
_LINE_SECONDS = 5.0
"""Between two lines of progress where there is no terminal."""


async def rebuild(
    *, projection: str, hold: bool = False, no_wait: bool = False, options: TenantOptions = TENANT
) -> int:
    """Make a projection's rows anew from the log, beside those in use, and then use the new ones.

    The rows in use are served, and go on, until the new ones have reached the end of the log. The node goes on with it
    when this command is interrupted, and after a restart.

    Example: `vdb projection rebuild --projection patient_timeline`

    Parameters
    ----------
    projection
        The projection's name.
    hold
        Don't use the new rows before `vdb projection switch`: look at `vdb projection diff` first.
    no_wait
        Return at once: `vdb projection status` tells how far it is.
    """
    async with options.tenant_client() as client:
        before = (await _find(client, projection, options.tenant)).generation
        await client.rebuild_projection(projection, hold=hold)
        if no_wait:
            if not options.json:
                print_text(f"projection '{projection}' is being built: see `vdb projection status`")
            return EXIT_OK
        begun = trio.current_time()
        outcome = await _watch(client, projection, options, before)
    seconds = trio.current_time() - begun
    if options.json:
        print_json(
            {
                "projection": projection,
                "state": outcome.state,
                "generation": outcome.generation,
                "version": outcome.version,
                "seconds": round(seconds, 3),
                "error": outcome.error or None,
            }
        )
    elif outcome.state == "failed":
        print_error(
            f"projection '{projection}': what was built can't be used: {outcome.error}; the rows in use stay",
            as_json=False,
        )
    elif outcome.state == "ready":
        print_text(f"projection '{projection}' is built as generation {outcome.generation} after {age_text(seconds)}")
        print_note(
            f"compare it with `vdb projection diff --projection {projection}`, and use it with "
            f"`vdb projection switch --projection {projection}`"
        )
    else:
        print_text(f"projection '{projection}' uses generation {outcome.generation} after {age_text(seconds)}")
    return EXIT_FAILED if outcome.state == "failed" else EXIT_OK


async def switch(*, projection: str, back: bool = False, options: TenantOptions = TENANT) -> None:
    """Use the rows that were built beside those in use; with --back, those that were in use before.

    Rows of before are as they were left. If the node has the handlers of their version, they catch up then.

    Example: `vdb projection switch --projection patient_timeline --back`

    Parameters
    ----------
    projection
        The projection's name.
    back
        Use what was in use before.
    """
    async with options.tenant_client() as client:
        generation = await client.switch_projection(projection, back=back)
    if options.json:
        print_json({"projection": projection, "generation": generation})
    else:
        print_text(f"projection '{projection}' uses generation {generation}")
        print_note(f"the other one is kept: `vdb projection switch --projection {projection} --back` goes back to it")


async def diff(*, projection: str, limit: int = 100, options: TenantOptions = TENANT) -> None:
    """Show how the rows that were built beside differ from those in use.

    Example: `vdb projection diff --projection patient_timeline --limit 20`

    Parameters
    ----------
    projection
        The projection's name.
    limit
        Differences that are shown, at most; all are counted.
    """
    async with options.tenant_client() as client:
        found = await client.diff_projection(projection, limit)
    if options.json:
        for difference in found.differences:
            print_json(_as_json(difference))
    elif found.count:
        print_table(
            ("table", "key", "in use", "built"),
            [(one.table, _key_text(one), *_change_texts(one)) for one in found.differences],
        )
    if not options.json:
        print_text(f"{found.count:,} rows differ" if found.count else "no row differs")
    if found.count > len(found.differences):
        print_note(f"{len(found.differences)} of {found.count:,} differences shown: use --limit")
    if found.position_before != found.position_after:
        before, after = (" ".join(map(str, one)) for one in (found.position_before, found.position_after))
        print_note(f"the rows in use stand at {before}, those that were built at {after}: events lie between")


@frozen(kw_only=True)
class _Outcome:
    state: str
    """"in use", "ready" or "failed"."""
    generation: int
    version: int
    error: str = ""


async def _watch(client: Client, projection: str, options: TenantOptions, before: int) -> _Outcome:
    """Show progress until the rebuild has come to an end."""
    with _Show(projection, silent=options.json) as show:
        while True:
            found = await _find(client, projection, options.tenant)
            building = found.building
            if building is None and found.generation != before:
                return _Outcome(state="in use", generation=found.generation, version=found.version)
            if building is not None:
                show.building(building)
                if building.state != "building":
                    return _Outcome(
                        state=building.state,
                        generation=building.generation,
                        version=building.version,
                        error=building.error,
                    )
            await trio.sleep(_LOOK_SECONDS)


class _Show:
    """A bar in a terminal, a line from time to time elsewhere. On standard error: it is no result."""

    def __init__(self, projection: str, *, silent: bool) -> None:
        self._projection = projection
        self._silent = silent
        self._bar = _bar() if sys.stderr.isatty() and not silent else None
        self._task: TaskID | None = None
        self._told_at = trio.current_time()

    def __enter__(self) -> _Show:
        self._context: Any = self._bar or nullcontext()
        self._context.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    def building(self, building: ProjectionBuilding) -> None:
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task(self._projection, total=building.total, rate="")
            rest = building_text(building).partition("), ")[2]
            self._bar.update(self._task, completed=building.done, total=building.total, rate=rest)
        elif not self._silent and trio.current_time() - self._told_at >= _LINE_SECONDS:
            self._told_at = trio.current_time()
            print_note(f"projection '{self._projection}' is being built: {building_text(building)}")


def _bar() -> Bar:
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        console=error_console(),
        transient=True,
    )


async def _find(client: Client, projection: str, tenant: int) -> ProjectionStatus:
    for found in (await client.status()).projections:
        if (found.name, found.tenant) == (projection, tenant):
            return found
    raise UnknownProjection(f"tenant {tenant} has no projection '{projection}' on this node yet")


def _as_json(difference: RowDifference) -> dict[str, Any]:
    return {
        "table": difference.table,
        "key": dict(zip(difference.key_columns, map(_plain, difference.key), strict=True)),
        "before": _row_as_json(difference, difference.before),
        "after": _row_as_json(difference, difference.after),
    }


def _row_as_json(difference: RowDifference, row: Cells | None) -> dict[str, Any] | None:
    return None if row is None else dict(zip(difference.columns, map(_plain, row), strict=True))


def _key_text(difference: RowDifference) -> str:
    return " ".join(
        f"{name}={_plain(value)}" for name, value in zip(difference.key_columns, difference.key, strict=True)
    )


def _change_texts(difference: RowDifference) -> tuple[str, str]:
    """What each side has: of a row on both, only the columns that differ."""
    before, after = difference.before, difference.after
    if before is None or after is None:
        return _row_text(difference, before), _row_text(difference, after)
    different = [number for number, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
    return _cells_text(difference, before, different), _cells_text(difference, after, different)


def _row_text(difference: RowDifference, row: Cells | None) -> str:
    return "no such row" if row is None else _cells_text(difference, row)


def _cells_text(difference: RowDifference, row: Cells, numbers: list[int] | None = None) -> str:
    def parts() -> Iterator[str]:
        for number in range(len(row)) if numbers is None else numbers:
            if numbers is not None or difference.columns[number] not in difference.key_columns:
                value = row[number]
                yield f"{difference.columns[number]}={'NULL' if value is None else _plain(value)}"

    return " ".join(parts())


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value
