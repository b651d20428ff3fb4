"""What `vdb projection init|run|replay` do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trio

from vdb.cli.config_file import read_config_file
from vdb.cli.local_node import local_node
from vdb.cli.local_options import LocalOptions
from vdb.cli.output import EXIT_FAILED, EXIT_OK, print_json, print_note, print_table, print_text
from vdb.cli.projection_status import age_text
from vdb.errors import ConfigError, InvalidArgument, UnknownProjection
from vdb.node.gate.caller import EMBEDDED
from vdb.node.gate.guard import Guard
from vdb.node.node import Node
from vdb.projections.comparing import TableDigest
from vdb.projections.config import ProjectionConfig, for_tenant
from vdb.projections.replaying import Replayed
from vdb.selection import EventFilter, EventStart, StartKind
from vdb.sql.moment import parse_moment
from vdb.status import ProjectionStatus
from vdb.types import Position

_LOOK_SECONDS = 0.05
_LINE_SECONDS = 5.0
_FOR_EVER_US = 10**15

_EXAMPLE = """\
# Projections of a node: encrypted tables that it builds from events. Give the file to `vdb start --config`.

# Rows by functions of your own: module:attribute, looked for in this file's folder, and where Python looks.
# projections = ["read_models:census"]

# Rows without code: the latest values of each thing that events tell of.
[[projection]]
name = "beds"
version = 1                     # raise it when something below changes: the rows are then built anew, beside these
streams = ["wards", "beds.*"]   # exact names, or PREFIX*

[projection.latest-by-id]
key = "bed"                     # the column of the key, and where it is in an event
events = ["bed-taken", "bed-freed"]

[projection.latest-by-id.columns]
ward = "ward"                   # column = path in the event's body
patient = "patient.id"
since_us = { path = "since", type = "time" }
"""


def init_file(config: Path, *, as_json: bool) -> None:
    """Write an example, or check what is there."""
    is_new = not config.exists()
    if is_new:
        config.write_text(_EXAMPLE, encoding="utf-8")
    found = read_config_file(config).projections()
    if as_json:
        for projection in found:
            print_json(_config_as_json(projection))
        return
    if is_new:
        print_text(f"{config} has an example: change it, look at it again with this command, start a node with it")
    else:
        print_text(f"{config} is fine")
    print_text()
    print_table(
        ("projection", "version", "tenant", "streams", "tables"),
        [
            (
                one.name,
                one.version,
                "all" if one.tenant is None else one.tenant,
                " ".join((*one.streams.names, *(f"{prefix}*" for prefix in one.streams.prefixes))),
                " ".join(table.name for table in one.tables),
            )
            for one in found
        ],
    )


async def run_to_end(options: LocalOptions) -> int:
    """Until all have caught up; the exit code."""
    async with local_node(options) as (node, projections):
        if not projections:
            raise ConfigError("no projections: expected some in the configuration file")
        begun = told = trio.current_time()
        await _wait_until_open(node)
        while True:
            found = (await node.service.status()).projections
            busy = [one for one in found if _is_busy(one)]
            if not busy:
                break
            if trio.current_time() - told >= _LINE_SECONDS:
                told = trio.current_time()
                lag = sum(one.lag for one in busy)
                print_note(f"{len(busy)} of {len(found)} projections are on their way, {lag:,} events behind")
            await trio.sleep(_LOOK_SECONDS)
        seconds = trio.current_time() - begun
    failed = [one for one in found if one.error or (one.building is not None and one.building.error)]
    if options.json:
        for one in found:
            print_json(_as_json(one))
    elif not found:
        print_text("no projections yet: they appear with their tenant's first events")
    else:
        print_table(
            ("projection", "tenant", "version", "generation", "position", "parked", "error"),
            [
                (
                    one.name,
                    one.tenant,
                    one.version,
                    one.generation,
                    " ".join(map(str, one.position)),
                    one.parked,
                    _error(one) or "-",
                )
                for one in found
            ],
        )
        print_text()
        print_text(
            f"{len(failed)} of {len(found)} projections can't go on"
            if failed
            else f"all {len(found)} have caught up after {age_text(seconds)}"
        )
    return EXIT_FAILED if failed else EXIT_OK


async def replay_log(options: LocalOptions, projection: str, from_: str, *, twice: bool, limit: int) -> int:
    """The exit code: 1 where rows differ, or a handler failed."""
    async with local_node(options) as (node, projections):
        if projection not in [one.name for one in projections]:
            known = ", ".join(f"'{one.name}'" for one in projections) or "none"
            raise UnknownProjection(f"the configuration has no projection '{projection}'; it has {known}")
        guard = Guard(node.service, EMBEDDED)
        start = await _start(guard, options.tenant, from_)
        runs = [
            await guard.replay_projection(options.tenant, projection, start, limit) for _ in range(2 if twice else 1)
        ]
    unstable = [name for name in runs[0].tables if any(run.tables.get(name) != runs[0].tables[name] for run in runs)]
    differing = runs[0].comparison.count if runs[0].comparison is not None else None
    if options.json:
        print_json(_replayed_as_json(projection, runs, unstable))
    else:
        _print_replayed(projection, runs, unstable, differing)
    return EXIT_FAILED if unstable or differing or runs[0].error else EXIT_OK


async def _wait_until_open(node: Node) -> None:
    """Wait until each projection of each tenant has its file open, and builds what it has to."""
    tenants = {tenant.tenant: None for group in node.service.groups.values() for tenant in group.state.tenants()}
    for tenant in tenants:
        for name in dict.fromkeys(one.name for one in for_tenant(node.config.projections, tenant)):
            await node.service.wait_for_projection(tenant, name, "", _FOR_EVER_US)


def _is_busy(status: ProjectionStatus) -> bool:
    building = status.building is not None and status.building.state == "building"
    return building or status.state in ("opening", "held up") or (status.state == "following" and status.lag > 0)


def _places(status: ProjectionStatus) -> str:
    return " ".join(map(str, status.position))


def _error(status: ProjectionStatus) -> str:
    built = status.building.error if status.building is not None else ""
    return built or status.error


async def _start(guard: Guard, tenant: int, text: str) -> list[Position]:
    if not text:
        return []
    try:
        moment = parse_moment(text)
    except InvalidArgument:
        moment = None
    if moment is not None and moment.position is not None:
        return [moment.position]
    if moment is None or moment.timestamp is None:
        raise ConfigError(f"--from reads GROUP:NUMBER, or a time such as 2026-03-01T12:00:00Z; found {text!r}")
    found: list[Position] = []
    for name in guard.groups:
        start = EventStart(StartKind.TIME, moment.timestamp)
        page = await guard.read_events(tenant, name, EventFilter(), start, max_events=1)
        found.append(page.events[0].position if page.events else Position(name, page.head))
    return found


def _print_replayed(projection: str, runs: Sequence[Replayed], unstable: Sequence[str], differing: int | None) -> None:
    first = runs[0]
    rate = first.events / first.seconds if first.seconds else 0.0
    begins = " ".join(str(Position(group, number)) for group, number in sorted(first.start.items()) if number)
    print_text(
        f"replayed {first.events:,} events of '{projection}' version {first.version} in {age_text(first.seconds)} "
        f"({rate:,.0f} events/s), from {begins or 'the beginning'}"
    )
    print_text()
    print_table(
        ("table", "rows", "sha-256"),
        [(name, f"{table.rows:,}", table.digest[:16]) for name, table in first.tables.items()],
    )
    print_text()
    if first.error:
        print_text(first.error)
    if len(runs) > 1:
        print_text(
            f"two replays gave different rows in {', '.join(unstable)}: handlers depend on more than the events"
            if unstable
            else "two replays gave the same rows"
        )
    if differing is not None:
        print_text(f"{differing:,} rows differ from those in use" if differing else "no row differs from those in use")


def _replayed_as_json(projection: str, runs: Sequence[Replayed], unstable: Sequence[str]) -> dict[str, Any]:
    first = runs[0]
    comparison = first.comparison
    return {
        "projection": projection,
        "version": first.version,
        "from": [str(Position(group, number)) for group, number in sorted(first.start.items())],
        "position": [str(Position(group, number)) for group, number in sorted(first.positions.items())],
        "events": first.events,
        "seconds": [round(run.seconds, 3) for run in runs],
        "tables": _digests_as_json(first.tables),
        "parked": first.parked,
        "skipped": first.skipped,
        "error": first.error or None,
        "unstable": list(unstable),
        "differing_rows": None if comparison is None else comparison.count,
        "differences": []
        if comparison is None
        else [
            {"table": one.table.name, "key": [value.hex() if isinstance(value, bytes) else value for value in one.key]}
            for one in comparison.differences
        ],
    }


def _digests_as_json(tables: Mapping[str, TableDigest]) -> dict[str, Any]:
    return {name: {"rows": table.rows, "sha256": table.digest} for name, table in tables.items()}


def _config_as_json(config: ProjectionConfig) -> dict[str, Any]:
    return {
        "projection": config.name,
        "version": config.version,
        "tenant": config.tenant,
        "streams": [*config.streams.names, *(f"{prefix}*" for prefix in config.streams.prefixes)],
        "tables": [table.name for table in config.tables],
    }


def _as_json(status: ProjectionStatus) -> dict[str, Any]:
    return {
        "projection": status.name,
        "tenant": status.tenant,
        "version": status.version,
        "generation": status.generation,
        "position": [str(position) for position in status.position],
        "lag": status.lag,
        "parked": status.parked,
        "skipped": status.skipped,
        "error": _error(status) or None,
    }
