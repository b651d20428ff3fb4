"""`vdb retention set|list|apply`: how long events are kept, and the end of those that have expired."""

from __future__ import annotations

from cyclopts import App

from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import print_json, print_note, print_table, print_text
from vdb.cli.stream import DATA_CLASSES
from vdb.erasures import Pruned

app = App(name="retention", help="Say how long events of streams are kept, and list what was said.")


@app.command(name="set")
async def set_(
    *, stream: str, days: int, data_class: DATA_CLASSES = "phi", group: str = "", options: TenantOptions = TENANT
) -> None:
    """Keep the events of a stream for so long: they can't be erased before, and expire after.

    Example: `vdb retention set --stream "notes*" --days 3650`

    Parameters
    ----------
    stream
        A stream, or PREFIX* for those that begin so.
    days
        How long; 0: no rule for it any more.
    data_class
        Of the streams that are meant.
    group
        A region, or 'global'; by default the node's region.
    """
    async with options.tenant_client() as client:
        await client.set_retention(stream, days, data_class=data_class, group=group)
    if options.json:
        print_json({"stream": stream, "days": days})
    else:
        print_text(f"{stream}: {days} days" if days else f"{stream}: no rule")


@app.command(name="list")
async def list_(*, group: str = "", options: TenantOptions = TENANT) -> None:
    """List the rules that hold.

    Example: `vdb retention list`

    Parameters
    ----------
    group
        A region, or 'global'; by default the node's region.
    """
    async with options.tenant_client() as client:
        found = await client.retention(group=group)
    if options.json:
        for one in found:
            print_json({"stream": one.stream, "data_class": one.data_class.label, "days": one.days})
    else:
        print_table(("stream", "class", "days"), [(one.stream, one.data_class.label, one.days) for one in found])


@app.command(name="apply")
async def apply_(*, yes: bool = False, group: str = "", options: TenantOptions = TENANT) -> None:
    """Erase what has expired, and prune the segments of the log that hold nothing else. Proofs still hold.

    Example: `vdb retention apply --tenant 1 --yes`

    Keys are destroyed whose period ended longer ago than their rule keeps; a period ends when the keys are rotated
    (`vdb key rotate`). Sealed bytes go by whole segments of the log: once each record in one has expired or was erased.
    What is on hold stays; so do rows of SQL databases, and audit logs.

    Parameters
    ----------
    yes
        Do it. There is no way back. Without it nothing is changed: it is a dry run.
    group
        A region, or 'global'; by default the node's region.
    """
    async with options.tenant_client() as client:
        found = await client.apply_retention(dry_run=not yes, group=group)
    if options.json:
        print_json({"erased": yes, **found.report})
        return
    _print_done(found, yes)


def _print_done(found: Pruned, yes: bool) -> None:
    report = found.report
    print_text(f"{'erased' if yes else 'would erase'} what {report['keys']} keys have sealed")
    print_text(f"{'pruned' if yes else 'would prune'} {found.segments} segments: {found.bytes} bytes of sealed records")
    held = report["held"]
    if held["keys"] or held["segments"]:
        print_note(f"on hold: {held['keys']} keys, and {held['segments']} segments with {held['bytes']} bytes")
    if report["erasure"]:
        print_text(f"erasure {report['erasure']}: `vdb erase list` says when each node's disk is rid of them")
    if report["left"]:
        print_note(f"{report['left']} more may go: say it again")
    if not yes:
        print_note("nothing was changed: this was a dry run; say --yes to erase")
