"""`vdb hold place|release|list`: legal holds, against which nothing is erased."""

from __future__ import annotations

from cyclopts import App

from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import print_json, print_table, print_text, time_text

app = App(name="hold", help="Place, release and list legal holds.")


@app.command
async def place(
    *, reason: str, subject: str = "", stream: str = "", group: str = "", options: TenantOptions = TENANT
) -> None:
    """Place a hold: nothing that it covers is erased until it is released.

    Example: `vdb hold place --subject p-1 --reason "case 4711"`

    Parameters
    ----------
    reason
        Why.
    subject
        Whose data.
    stream
        Instead of a subject: a stream, or PREFIX* for those that begin so. Neither: everything of the tenant.
    group
        A region, or 'global'; by default the node's region.
    """
    async with options.tenant_client() as client:
        number = await client.place_hold(reason, subject=subject, stream=stream, group=group)
    if options.json:
        print_json({"hold": number})
    else:
        print_text(f"hold {number}")


@app.command
async def release(*, hold: int, reason: str, group: str = "", options: TenantOptions = TENANT) -> None:
    """Release a hold.

    Example: `vdb hold release --hold 1 --reason "the case is closed"`

    Parameters
    ----------
    hold
        Its number.
    reason
        Why.
    group
        A region, or 'global'; by default the node's region.
    """
    async with options.tenant_client() as client:
        await client.release_hold(hold, reason, group=group)
    if options.json:
        print_json({"hold": hold, "released": True})
    else:
        print_text(f"hold {hold} is released")


@app.command(name="list")
async def list_(*, group: str = "", options: TenantOptions = TENANT) -> None:
    """List holds, released ones too.

    Example: `vdb hold list`

    Parameters
    ----------
    group
        A region, or 'global'; by default the node's region.
    """
    async with options.tenant_client() as client:
        found = await client.holds(group=group)
    if options.json:
        for one in found:
            print_json(
                {
                    "hold": one.hold,
                    "subject": one.subject,
                    "stream": one.stream,
                    "reason": one.reason,
                    "placed": one.placed,
                    "released": one.released,
                }
            )
    else:
        print_table(
            ("hold", "on", "reason", "placed", "released"),
            [
                (
                    one.hold,
                    one.subject or f"streams {one.stream or '*'}",
                    one.reason,
                    time_text(one.placed),
                    time_text(one.released) if one.released else "holds",
                )
                for one in found
            ],
        )
