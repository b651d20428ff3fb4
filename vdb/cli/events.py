"""`vdb publish` and `vdb read`."""

from __future__ import annotations

import base64
import json
import os
import sys
from typing import Annotated, Any

import trio
from cyclopts import Parameter

from vdb.cli.lines import line_batches
from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import print_json, print_note, print_text, time_text, visible
from vdb.client.client import Client
from vdb.client.follow import EventIterator
from vdb.client.values import Event, Published
from vdb.errors import ConfigError, VerityError, WireError
from vdb.selection import EventRecord
from vdb.types import Position
from vdb.wire.event import ENVELOPE_SCHEMA, ERASED_SCHEMA, decode_envelope

_CHUNK = 256 * 1024


async def publish(
    *,
    stream: str,
    payload: Annotated[list[str] | None, Parameter(allow_leading_hyphen=True)] = None,
    stdin: bool = False,
    subject: str = "",
    expected: int | None = None,
    batch: int = 100,
    options: TenantOptions = TENANT,
) -> None:
    """Append events to a stream, and print their offsets once they are durable.

    Example: `vdb publish --stream notes --payload hello`, or `vdb publish --stream notes --stdin < events.ndjson`

    Parameters
    ----------
    stream
        The stream's name.
    payload
        An event's payload; may be given several times, then all are appended together.
    stdin
        Append each line of standard input that isn't empty, in batches.
    subject
        Whose data it is: its key seals the payloads.
    expected
        Append only if the stream's next offset is this. With --stdin, for the first batch.
    batch
        Events in a batch, at most.
    """
    if stdin == bool(payload):
        raise ConfigError("expected either --payload or --stdin")
    if not 1 <= batch <= 10_000:
        raise ConfigError(f"a batch has 1 to 10000 events; found {batch}")
    async with options.tenant_client() as client:
        if payload:
            payloads = [text.encode(errors="surrogateescape") for text in payload]
            _print_published(await client.publish(stream, payloads, subject=subject, expected=expected), options.json)
            return
        async for lines in line_batches(_read_stdin, batch):
            try:
                published = await client.publish(stream, lines.lines, subject=subject, expected=expected)
            except VerityError as error:
                raise type(error)(f"{lines} of standard input: {error}") from error
            expected = None
            _print_published(published, options.json)


async def read(
    *,
    stream: str = "",
    from_: Annotated[int, Parameter(name="--from")] = 0,
    limit: int | None = None,
    follow: bool = False,
    group: str = "",
    position: str = "",
    options: TenantOptions = TENANT,
) -> None:
    """Read a stream from an offset on, or a group's log from a position on.

    Example: `vdb read --stream notes --from 0 --limit 10`, or `vdb read --group ap-southeast-2 --position 0 --follow`

    Parameters
    ----------
    stream
        The stream's name.
    from_
        The first offset to read.
    limit
        Stop after so many events.
    follow
        Go on with what is appended from now on, until interrupted.
    group
        Read all the tenant's events in this group (a region's name, or 'global'), in commit order.
    position
        Where in the group's log to start: a number, or a position as it is printed (GROUP:NUMBER).
    """
    if limit is not None and limit < 0:
        raise ConfigError(f"--limit is 0 or more; found {limit}")
    if stream and position:
        raise ConfigError("--position is of a group's log: with --stream, expected --from OFFSET")
    if ":" in position:
        parsed = Position.parse(position)
        group, start = group or parsed.group, parsed.number
        if group != parsed.group:
            raise ConfigError(f"--position is of group {parsed.group}, --group says {group}")
    else:
        start = _number(position)
    if bool(stream) == bool(group):
        raise ConfigError("expected either --stream, or --group with --position")
    async with options.tenant_client(LinkNotes() if follow else None) as client:
        events = _events(client, stream, from_) if not group else client.log(group, start, follow=follow)
        if stream and follow:
            events = client.follow(stream, from_)
        left = limit
        while left is None or left > 0:
            found = await events.next_batch()
            if not found:
                break
            for event in found[:left]:
                _print_event(event, options.json)
            left = None if left is None else left - len(found)


class LinkNotes:
    """Says on standard error when a follower has lost its node, and when it has one again."""

    def __init__(self) -> None:
        self._lost = False

    def __call__(self, address: str, is_made: bool) -> None:
        if not is_made:
            print_note(f"the connection to {address} is lost; trying again")
        elif self._lost:
            print_note(f"connected to {address} again")
        self._lost = not is_made


def _events(client: Client, stream: str, start: int) -> EventIterator:
    return client.events(stream, start)


def _number(position: str) -> int:
    if position and not (position.isascii() and position.isdigit()):
        raise ConfigError(f"--position reads NUMBER or GROUP:NUMBER; found {position!r}")
    return int(position or 0)


async def _read_stdin() -> bytes:
    return await trio.to_thread.run_sync(os.read, sys.stdin.fileno(), _CHUNK, abandon_on_cancel=True)


def _print_published(published: Published, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "stream": published.stream,
                "first_offset": published.first_offset,
                "next_offset": published.next_offset,
                "position": str(published.position),
                "time": published.time,
            }
        )
        return
    last = published.next_offset - 1
    offsets = f"offset {last}" if last == published.first_offset else f"offsets {published.first_offset} to {last}"
    print_text(f"{visible(published.stream)}: {offsets}")


def _print_event(event: Event, as_json: bool) -> None:
    if as_json:
        print_json(event_as_json(event))
        return
    text = content_text(event_as_json(event))
    print_text(f"{visible(event.stream)}\t{event.offset}\t{time_text(event.time)}\t{visible(text)}")


def content_text(shown: dict[str, Any]) -> str:
    """What an event of `event_as_json` holds, as one line."""
    if shown.get("erased"):
        return "(erased)"
    content = shown.get("payload", shown.get("event", shown.get("payload_base64")))
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def event_as_json(event: Event | EventRecord) -> dict[str, Any]:
    """An event as the object that commands print.

    Its content is in `event` (typed events), in `payload` (text), or in `payload_base64` (other bytes).
    """
    shown: dict[str, Any] = {
        "stream": event.stream,
        "offset": event.offset,
        "position": str(event.position),
        "time": event.time,
        "data_class": event.data_class.label,
    }
    if event.event_id:
        shown["event_id"] = event.event_id.hex()
    if event.schema_id == ERASED_SCHEMA:
        shown["erased"] = True
        return shown
    if event.schema_id == ENVELOPE_SCHEMA:
        try:
            envelope = decode_envelope(event.payload)
            body = json.loads(envelope.body)
        except (WireError, ValueError):
            pass
        else:
            shown["event"] = {
                "type": envelope.type,
                "version": envelope.version,
                "time": envelope.time,
                "actor": envelope.actor,
                "subject": envelope.subject,
                "body": body,
            }
            return shown
    try:
        shown["payload"] = event.payload.decode()
    except UnicodeDecodeError:
        shown["payload_base64"] = base64.b64encode(event.payload).decode()
    return shown
