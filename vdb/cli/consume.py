"""`vdb consume`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from vdb.cli.events import LinkNotes, content_text, event_as_json
from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import print_json, print_note, print_text, time_text, visible
from vdb.client.consumer import PREFETCH
from vdb.client.delivery import Delivery
from vdb.client.member import Member
from vdb.errors import ConfigError


async def consume(
    *,
    consumer: str,
    limit: int | None = None,
    wait: float | None = None,
    member: str | None = None,
    ack: Annotated[bool, Parameter(negative="--no-ack")] = True,
    group: str | None = None,
    options: TenantOptions = TENANT,
) -> None:
    """Take deliveries of a consumer group as one of its members: print each, and acknowledge it.

    Example: `vdb consume --consumer reminders --wait 5`

    Parameters
    ----------
    consumer
        The consumer group's name.
    limit
        Stop after so many deliveries.
    wait
        Stop once nothing has come for so many seconds; 0: with what is there. Without it, go on until interrupted.
    member
        A name for this member: one of the same name gets back at once what an earlier one left unfinished.
    ack
        With --no-ack, deliveries are given back at the end: others get them. They count as attempts all the same.
    group
        Where the consumer lies: a region's name, or 'global'. Without it, the region of the node.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit is 1 or more; found {limit}")
    if wait is not None and wait < 0:
        raise ConfigError(f"--wait is 0 seconds or more; found {wait:g}")
    count = 0
    async with options.tenant_client(LinkNotes()) as client:
        joined = client.consumer(consumer, group=group).member(member, prefetch=0 if limit else PREFETCH)
        async with joined:
            while limit is None or count < limit:
                found = await _next(joined, PREFETCH if limit is None else min(limit - count, PREFETCH), wait)
                if not found:
                    break
                for delivery in found:
                    _print(delivery, options.json)
                    if ack:
                        await delivery.ack()
                count += len(found)
    if not count and wait is not None:
        print_note(f"nothing came within {wait:g} s" if wait else "nothing is there to be delivered")


async def _next(member: Member, most: int, wait: float | None) -> list[Delivery]:
    """Some deliveries; none once nothing has come for so long. Without a wait the next one, over any outage."""
    return [await anext(member)] if wait is None else await member.fetch(most, wait)


def _print(delivery: Delivery, as_json: bool) -> None:
    shown = event_as_json(delivery.record)
    if as_json:
        print_json({**shown, "attempt": delivery.attempt, "deadline": delivery.deadline})
        return
    text = content_text(shown)
    place = f"{visible(delivery.stream)}\t{delivery.offset}\t{time_text(delivery.record.time)}"
    again = f"attempt {delivery.attempt}\t" if delivery.attempt > 1 else "\t"
    print_text(f"{place}\t{again}{visible(text)}")
