"""How projections are, as a table and as objects: which rows are in use, how far they are, what is built beside them.

Under the table stand sentences: what is being built, what waits for a command, and alarms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import asdict

from vdb.cli.output import print_table, print_text, visible
from vdb.status import GroupStatus, ProjectionBuilding, ProjectionStatus

_COLUMNS = ("projection", "tenant", "version", "state", "lag", "age", "last event", "position")
_SECONDS = ((86_400, "d"), (3_600, "h"), (60, "min"))
STILL_SECONDS = 30.0
"""An alarm is due when what should move hasn't for so long."""


def print_projections(projections: Sequence[ProjectionStatus]) -> None:
    """Projections as a table, and what is to be said of them."""
    print_table(_COLUMNS, [_row(found) for found in projections])
    lines = [line for found in projections for line in _sentences(found)]
    if lines:
        print_text()
    for line in lines:
        print_text(visible(line))


def print_group_alarms(groups: Sequence[GroupStatus]) -> None:
    """A line for each group in which nothing commits although requests wait."""
    for group in groups:
        seconds = group.still_us / 1e6
        if seconds >= STILL_SECONDS:
            print_text()
            print_text(f"alarm: requests wait in group {group.group}, and none has committed for {age_text(seconds)}")


def projection_as_json(found: ProjectionStatus) -> dict[str, Any]:
    """A projection as the object that commands print."""
    return {
        "projection": found.name,
        "tenant": found.tenant,
        "version": found.version,
        "generation": found.generation,
        "state": found.state,
        "position": [str(position) for position in found.position],
        "lag": found.lag,
        "age_seconds": found.age_us / 1e6,
        "head_age_seconds": None if found.head_age_us is None else found.head_age_us / 1e6,
        "still_seconds": round(found.file_seconds, 3),
        "alarm": _stands_still(found),
        "parked": found.parked,
        "skipped": found.skipped,
        "previous_generation": found.previous or None,
        "building": None if found.building is None else asdict(found.building),
        "error": found.error or None,
    }


def building_text(building: ProjectionBuilding) -> str:
    """How far a rebuild is: `45,000 of 200,000 positions (22 %), 21,300 events/s, about 7 s left`."""
    share = 100 * building.done // building.total if building.total else 100
    parts = [f"{building.done:,} of {building.total:,} positions ({share} %)"]
    if building.done < building.total:
        parts.append(f"{building.events_per_second:,.0f} events/s")
        if building.eta_seconds is not None:
            parts.append(f"about {age_text(max(building.eta_seconds, 1))} left")
    return ", ".join(parts)


def age_text(seconds: float) -> str:
    """A duration in its largest unit: `0.4 s`, `12 s`, `3 min`, `5 h`, `2 d`."""
    for size, unit in _SECONDS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _row(found: ProjectionStatus) -> tuple[object, ...]:
    return (
        found.name,
        found.tenant,
        found.version or "-",
        found.state,
        f"{found.lag:,}",
        age_text(found.age_us / 1e6) if found.age_us else "-",
        "-" if found.head_age_us is None else f"{age_text(found.head_age_us / 1e6)} ago",
        _position_text(found),
    )


def _position_text(found: ProjectionStatus) -> str:
    """Without the groups in which nothing was read, unless that is so in all of them."""
    moved = [position for position in found.position if position.number]
    return " ".join(map(str, moved or found.position)) or "-"


def _sentences(found: ProjectionStatus) -> Iterator[str]:
    building = found.building
    name = f"{found.name} of tenant {found.tenant}"
    if found.error:
        yield found.error
    if building is not None:
        what = "its rows are" if building.version == found.version else f"version {building.version} is"
        if building.state == "building":
            yield f"{name}: {what} being built beside those in use: {building_text(building)}"
        elif building.state == "ready":
            yield (
                f"{name}: {what} built and waiting: compare with `vdb projection diff --projection {found.name}`, "
                f"use with `vdb projection switch --projection {found.name}`"
            )
        else:
            yield f"{name}: what was built as version {building.version} can't be used: {building.error}"
    if found.parked or found.skipped:
        yield (
            f"{name}: {found.parked:,} events parked, {found.skipped:,} skipped: "
            f"see `vdb projection parked --projection {found.name}`"
        )
    if _stands_still(found):
        yield f"alarm: {name} has stood still for {age_text(found.file_seconds)}, with {found.lag:,} events to apply"


def _stands_still(found: ProjectionStatus) -> bool:
    return found.state != "stopped" and found.lag > 0 and found.file_seconds >= STILL_SECONDS
