"""`vdb stream create|list|show`."""

from __future__ import annotations

from typing import Any, Literal

from cyclopts import App

from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import print_json, print_table, print_text, time_text, visible
from vdb.client.values import StreamInfo

app = App(name="stream", help="Create, list and show streams.")

DATA_CLASSES = Literal["phi", "non-phi", "deidentified"]


@app.command
async def create(
    *,
    stream: str,
    data_class: DATA_CLASSES = "phi",
    placement: str | None = None,
    if_not_exists: bool = False,
    options: TenantOptions = TENANT,
) -> None:
    """Create a stream.

    Example: `vdb stream create --stream notes --data-class phi --placement ap-southeast-2`

    Parameters
    ----------
    stream
        The stream's name.
    data_class
        What it holds. PHI must be placed in a region.
    placement
        A region's name, or 'global' for data that isn't PHI. Without it, the region of the node.
    if_not_exists
        An existing stream of the same class and place is fine.
    """
    async with options.tenant_client() as client:
        created = await client.create_stream(stream, data_class, placement, if_not_exists=if_not_exists)
        info = await client.get_stream(stream)
    if options.json:
        print_json({"created": created, **as_json(info)})
    else:
        print_text(
            f"{'created' if created else 'is there already'}: {visible(stream)} ({data_class}, {info.placement})"
        )


@app.command(name="list")
async def list_(*, options: TenantOptions = TENANT) -> None:
    """List the tenant's streams.

    Example: `vdb stream list --json`
    """
    async with options.tenant_client() as client:
        streams = await client.list_streams()
    if options.json:
        for info in streams:
            print_json(as_json(info))
    else:
        print_table(
            ("stream", "class", "placement", "events", "created"),
            [
                (info.name, info.data_class.label, info.placement, info.next_offset, time_text(info.created_at))
                for info in streams
            ],
        )


@app.command
async def show(*, stream: str, options: TenantOptions = TENANT) -> None:
    """Show one stream.

    Example: `vdb stream show --stream notes`

    Parameters
    ----------
    stream
        The stream's name.
    """
    async with options.tenant_client() as client:
        info = await client.get_stream(stream)
    if options.json:
        print_json(as_json(info))
        return
    for key, value in as_json(info).items():
        shown = time_text(info.created_at) if key == "created_at" else visible(str(value))
        print_text(f"{key:<12} {shown}")


def as_json(info: StreamInfo) -> dict[str, Any]:
    """A stream as the object that commands print."""
    return {
        "stream": info.name,
        "id": info.id,
        "data_class": info.data_class.label,
        "placement": info.placement,
        "next_offset": info.next_offset,
        "created_at": info.created_at,
    }
