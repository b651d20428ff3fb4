"""`vdb events`: events by stream, prefix and type, both ways."""

from __future__ import annotations

import json
from typing import Annotated, Any

from cyclopts import Parameter

from vdb.cli.events import LinkNotes, content_text, event_as_json
from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import print_json, print_text, time_text, visible
from vdb.errors import ConfigError, InvalidArgument
from vdb.selection import EventRecord
from vdb.sql.moment import parse_moment


async def events(
    *,
    stream: str | None = None,
    prefix: list[str] | None = None,
    type_: Annotated[list[str] | None, Parameter(name="--type")] = None,
    from_: Annotated[str, Parameter(name="--from")] = "",
    backward: bool = False,
    follow: bool = False,
    limit: int | None = None,
    group: str | None = None,
    options: TenantOptions = TENANT,
) -> None:
    """Print events of one stream, or of all whose names begin so, in the order of their commit.

    Example: `vdb events --prefix patient- --type patient-admitted --from 2026-03-01T09:00:00Z`

    Parameters
    ----------
    stream
        One stream.
    prefix
        Streams whose names begin with this; may be given several times.
    type
        Events of this type; may be given several times. Empty: events that only their writer understands.
    from
        An offset (with --stream), a position (GROUP:NUMBER), or a time: the first event appended then or later.
    backward
        The last event first; with --from, from just before that place down.
    follow
        Go on with what is appended from now on, until interrupted.
    limit
        Stop after so many events.
    group
        Without --stream: a region's name, or 'global'. Without it, the region of the node.
    """
    if limit is not None and limit < 0:
        raise ConfigError(f"--limit is 0 or more; found {limit}")
    async with options.tenant_client(LinkNotes() if follow else None) as client:
        found = client.read_events(
            stream,
            prefixes=prefix or (),
            types=type_ or (),
            backward=backward,
            follow=follow,
            group=group,
            max_events=limit,
            **_start(from_),
        )
        left = limit
        while left != 0 and (records := await found.fetch_records()):
            for record in records[:left]:
                _print(record, options.json)
            left = None if left is None else max(0, left - len(records))


def _start(text: str) -> dict[str, Any]:
    """The place that --from names, as `read_events` takes it."""
    if not text:
        return {}
    try:
        moment = parse_moment(text)
    except InvalidArgument:
        raise ConfigError(
            f"--from reads OFFSET (with --stream), GROUP:NUMBER, or a time such as 2026-03-01T12:00:00Z; found {text!r}"
        ) from None
    return {"from_offset": moment.offset, "from_position": moment.position, "from_time": moment.timestamp}


def _print(record: EventRecord, as_json: bool) -> None:
    shown = event_as_json(record)
    if as_json:
        print_json(shown)
        return
    event = shown.get("event", {})
    text = content_text(shown) if not event else json.dumps(event["body"], ensure_ascii=False)
    place = f"{visible(record.stream)}\t{record.offset}\t{time_text(record.time)}"
    print_text(f"{place}\t{visible(event.get('type', ''))}\t{visible(text)}")
