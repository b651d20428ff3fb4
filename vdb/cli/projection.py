"""`vdb projection status`."""

from __future__ import annotations

from cyclopts import App

from vdb.cli.options import NODE, NodeOptions
from vdb.cli.output import print_json, print_text
from vdb.cli.status import print_projections, projection_as_json

app = App(name="projection", help="Look at projections.")


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
        print_text("no projections: name some in the node's configuration file")
    else:
        print_projections(found.projections)
