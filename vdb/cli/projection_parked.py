"""`vdb projection parked|retry|drop`: events that a projection passed over because its handlers failed."""

from __future__ import annotations

from typing import Any

from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import EXIT_FAILED, EXIT_OK, print_json, print_note, print_table, print_text
from vdb.client.projection_line import ParkedEvent


async def parked(*, projection: str, limit: int = 100, options: TenantOptions = TENANT) -> None:
    """List the events that a projection passed over: parked ones, and those that were skipped for good.

    Example: `vdb projection parked --projection census`

    Parameters
    ----------
    projection
        The projection's name.
    limit
        Events that are listed, at most.
    """
    async with options.tenant_client() as client:
        found = await client.parked_events(projection, limit + 1)
    shown = found[:limit]
    if options.json:
        for event in shown:
            print_json(_as_json(event))
    elif not shown:
        print_text(f"projection '{projection}' has passed over no event")
    else:
        print_table(
            ("position", "stream", "type", "state", "attempts", "waiting", "key", "error"),
            [
                (
                    event.position,
                    event.stream,
                    event.type or "-",
                    "skipped" if event.skipped else "parked",
                    event.attempts,
                    event.waiting,
                    event.key,
                    event.error,
                )
                for event in shown
            ],
        )
    if len(found) > limit:
        print_note(f"{limit} events shown, there are more: use --limit")


async def retry(*, projection: str, position: str = "", options: TenantOptions = TENANT) -> int:
    """Try a parked event again and, once it is in, those that wait behind it. Without --position: all there are.

    Example: `vdb projection retry --projection census --position ap-southeast-2:1042`

    Parameters
    ----------
    projection
        The projection's name.
    position
        The event's, as GROUP:NUMBER.
    """
    async with options.tenant_client() as client:
        count = await client.retry_parked(projection, position)
        left = [event for event in await client.parked_events(projection, 1000) if not event.skipped]
    if options.json:
        print_json({"projection": projection, "applied": count, "parked": len(left)})
    else:
        print_text(f"{count:,} events applied" if count else "no event was applied")
        if left:
            print_note(f"{len(left):,} failed again, the first at {left[0].position}: {left[0].error}")
    return EXIT_FAILED if left and not count else EXIT_OK


async def drop(*, projection: str, position: str = "", options: TenantOptions = TENANT) -> None:
    """Skip a parked event for good, and apply those that wait behind it. Without --position: skip all there are.

    What is dropped stays in the list, as skipped.

    Example: `vdb projection drop --projection census --position ap-southeast-2:1042`

    Parameters
    ----------
    projection
        The projection's name.
    position
        The event's, as GROUP:NUMBER.
    """
    async with options.tenant_client() as client:
        count = await client.drop_parked(projection, position)
    if options.json:
        print_json({"projection": projection, "dropped": count})
    else:
        print_text(f"{count:,} events dropped")


def _as_json(event: ParkedEvent) -> dict[str, Any]:
    return {
        "position": str(event.position),
        "stream": event.stream,
        "type": event.type,
        "key": event.key,
        "error": event.error,
        "attempts": event.attempts,
        "waiting": event.waiting,
        "skipped": event.skipped,
    }
