"""`vdb projection`: this module has `status` and `rows`, those beside it the rest."""

from __future__ import annotations

from typing import Annotated

from attrs import evolve
from cyclopts import App, Parameter

from vdb.cli.options import NODE, TENANT, NodeOptions, TenantOptions
from vdb.cli.output import print_json, print_note, print_table, print_text
from vdb.cli.projection_changes import diff, rebuild, switch
from vdb.cli.projection_local import init, replay, run
from vdb.cli.projection_parked import drop, parked, retry
from vdb.cli.projection_status import print_projections, projection_as_json
from vdb.client.client import Client
from vdb.errors import ConfigError, RemoteError
from vdb.projections.rows import LIMIT_MAX

app = App(name="projection", help="Projections: encrypted tables that the node builds from events.")
app.command(init)
app.command(run)
app.command(replay)
app.command(rebuild)
app.command(switch)
app.command(diff)
app.command(parked)
app.command(retry)
app.command(drop)


@app.command
async def status(*, options: NodeOptions = NODE) -> None:
    """Show how far each projection is, and why one stopped.

    Example: `vdb projection status --json`
    """
    async with options.client() as client:
        found = await client.status()
    if options.json:
        for projection in found.projections:
            print_json(projection_as_json(projection))
    elif not found.projections:
        print_text("no projections yet: they appear with their tenant's first events")
    else:
        print_projections(found.projections)


@app.command
async def rows(
    *,
    projection: str,
    table: str | None = None,
    where: list[str] | None = None,
    order_by: Annotated[list[str] | None, Parameter(allow_leading_hyphen=True)] = None,
    limit: int = 100,
    wait: float = 10.0,
    options: TenantOptions = TENANT,
) -> None:
    """Print rows of a projection's table.

    Example: `vdb projection rows --projection patient_timeline --where patient=p-00001 --order-by time_us`

    Parameters
    ----------
    projection
        The projection's name.
    table
        Its table; by default the one of the same name.
    where
        COLUMN=TEXT: only rows that have this. May be given several times.
    order_by
        A column; '-column' for downwards. May be given several times.
    limit
        Rows, at most; 10000 are the maximum.
    wait
        Seconds to wait until the projection holds all that was committed before; 0: rows as they are.
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise ConfigError(f"--limit lies between 1 and {LIMIT_MAX}; found {limit}")
    conditions: dict[str, str] = {}
    for word in where or []:
        column, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"--where reads COLUMN=TEXT; found {word!r}")
        conditions[column] = value
    async with options.tenant_client() as client:
        caught_up = wait > 0 and await _is_caught_up(client, projection, wait)
        reason = "" if caught_up else await _why_not(client, projection, options.tenant)
        asked = min(limit + 1, LIMIT_MAX)
        found = await client.rows(projection, table or projection, conditions, order_by or (), asked)
    shown = found.rows[:limit]
    if options.json:
        for row in evolve(found, rows=shown).dicts():
            print_json({key: value.hex() if isinstance(value, bytes) else value for key, value in row.items()})
    else:
        print_table(found.columns, [["" if cell is None else cell for cell in row] for row in shown])
    if reason.startswith("waits: "):
        print_note(f"projection '{projection}' {reason}; these rows don't hold the newest events")
    elif reason:
        print_note(f"projection '{projection}' has stopped: {reason.removeprefix('stopped ')}; these rows end there")
    elif wait > 0 and not caught_up:
        print_note(f"projection '{projection}' is behind after {wait:g} s: these rows don't hold the newest events")
    if len(found.rows) > limit:
        print_note(f"{limit} rows shown, there are more: use --limit")
    elif len(shown) == LIMIT_MAX:
        print_note(f"{limit} rows shown, and no command shows more; there may be others: use --where")


async def _is_caught_up(client: Client, projection: str, seconds: float) -> bool:
    """Wait for all that was committed when this was called. A projection that has stopped doesn't catch up."""
    heads = " ".join(f"{group.group}:{group.next_position}" for group in (await client.status()).groups)
    try:
        return await client.wait_for_projection(projection, heads, seconds)
    except RemoteError:
        return False


async def _why_not(client: Client, projection: str, tenant: int) -> str:
    """Why it isn't at the head: `stopped at ...` or `waits: ...`, and empty if it is just on its way."""
    for found in (await client.status()).projections:
        if (found.name, found.tenant) == (projection, tenant):
            return found.error.removeprefix(f"projection {projection!r} of tenant {tenant} ")
    return ""
