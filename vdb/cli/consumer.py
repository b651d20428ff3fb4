"""`vdb consumer list|show|create|delete|dead-letters|replay|drop`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from vdb.cli.events import event_as_json
from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import print_json, print_note, print_table, print_text, time_text, visible
from vdb.client.consumer import Consumer
from vdb.client.consumer_settings import AnyStart
from vdb.client.delivery import DeadLetter
from vdb.consumers import ConsumerInfo, ConsumerSettings, OrderedBy
from vdb.errors import ConfigError, InvalidArgument
from vdb.selection import EventFilter, EventStart, StartKind
from vdb.sql.moment import parse_moment
from vdb.types import Position

app = App(name="consumer", help="Consumer groups: members share the events of a filter, and none is missed.")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@app.command(name="list")
async def list_(*, options: TenantOptions = TENANT) -> None:
    """List the tenant's consumer groups.

    Example: `vdb consumer list --json`
    """
    async with options.tenant_client() as client:
        found = await client.list_consumers()
    if options.json:
        for info in found:
            print_json(as_json(info))
    elif not found:
        print_text("no consumers yet: make one with `vdb consumer create --consumer NAME`")
    else:
        print_table(
            ("consumer", "group", "position", "head", "in flight", "waiting", "dead letters", "acked", "members"),
            [
                (
                    info.name,
                    info.group,
                    info.position,
                    info.head,
                    info.in_flight,
                    info.waiting,
                    info.dead_letters,
                    info.acked,
                    len(info.members),
                )
                for info in found
            ],
        )


@app.command
async def show(*, consumer: str, group: str | None = None, options: TenantOptions = TENANT) -> None:
    """Show one consumer group: its settings, how far it is, and its members.

    Example: `vdb consumer show --consumer reminders`

    Parameters
    ----------
    consumer
        The consumer group's name.
    group
        Where it lies: a region's name, or 'global'. Without it, the region of the node.
    """
    async with options.tenant_client() as client:
        info = await client.consumer(consumer, group=group).info()
    if options.json:
        print_json(as_json(info))
        return
    for name, value in _lines(info):
        print_text(f"{name:<14} {visible(value)}")
    if info.members:
        print_text()
        print_table(("member", "in flight"), [(member.id.hex(), member.in_flight) for member in info.members])


@app.command
async def create(
    *,
    consumer: str,
    stream: str = "",
    prefix: list[str] | None = None,
    type_: Annotated[list[str] | None, Parameter(name="--type")] = None,
    start: str = "first",
    ack_deadline: float = 30.0,
    max_in_flight: int = 1000,
    max_in_flight_member: int = 0,
    ordered_by: Literal["stream", "subject"] | None = None,
    max_deliver: int = 5,
    backoff: float = 1.0,
    backoff_max: float = 60.0,
    group: str | None = None,
    options: TenantOptions = TENANT,
) -> None:
    """Create a consumer group. One that is there with the same settings is fine.

    Example: `vdb consumer create --consumer reminders --prefix appointment- --type appointment-booked --start last`

    Parameters
    ----------
    consumer
        The consumer group's name.
    stream
        Events of this stream alone.
    prefix
        Events of streams whose names begin with this. May be given several times.
    type_
        Events of this type. May be given several times.
    start
        first; last (behind the last event); an offset, with --stream; a position GROUP:NUMBER; or a time.
    ack_deadline
        Seconds after which a delivery that isn't settled is made again.
    max_in_flight
        Deliveries that are out at most.
    max_in_flight_member
        Deliveries that are out with one member at most; 0: no limit of its own.
    ordered_by
        Of the events of one stream, or of one subject, one at a time.
    max_deliver
        After so many deliveries an event becomes a dead letter; 0: never.
    backoff
        Seconds of the pause after the first failed delivery; it doubles with each.
    backoff_max
        Seconds of the longest pause.
    group
        Where it reads and lies: a region's name, or 'global'. Without it, the region of the node.
    """
    async with options.tenant_client() as client:
        made = await client.create_consumer(
            consumer,
            stream=stream,
            prefixes=prefix or (),
            types=type_ or (),
            start=_start(start),
            ack_deadline=ack_deadline,
            max_in_flight=max_in_flight,
            max_in_flight_member=max_in_flight_member,
            ordered_by=ordered_by,
            max_deliver=max_deliver,
            backoff=(backoff, backoff_max),
            group=group,
        )
        info = await made.info()
    if options.json:
        print_json(as_json(info))
    else:
        print_text(f"{visible(info.name)}: reads {visible(_events(info.settings.filter))} of group {info.group}")


@app.command
async def delete(*, consumer: str, group: str | None = None, options: TenantOptions = TENANT) -> None:
    """Delete a consumer group with its place and its dead letters. The events stay.

    Example: `vdb consumer delete --consumer reminders`

    Parameters
    ----------
    consumer
        The consumer group's name.
    group
        Where it lies: a region's name, or 'global'. Without it, the region of the node.
    """
    async with options.tenant_client() as client:
        deleted = await client.consumer(consumer, group=group).delete()
    if options.json:
        print_json({"consumer": consumer, "deleted": deleted})
    else:
        print_text(f"{'deleted' if deleted else 'there was none'}: {visible(consumer)}")


@app.command(name="dead-letters")
async def dead_letters(
    *, consumer: str, content: bool = False, group: str | None = None, options: TenantOptions = TENANT
) -> None:
    """List the events that a consumer group has given up, and why.

    Example: `vdb consumer dead-letters --consumer reminders`

    Parameters
    ----------
    consumer
        The consumer group's name.
    content
        With the events themselves, read from their streams; needs --json.
    group
        Where it lies: a region's name, or 'global'. Without it, the region of the node.
    """
    if content and not options.json:
        raise ConfigError("--content needs --json")
    async with options.tenant_client() as client:
        letters = await client.consumer(consumer, group=group).dead_letters()
        for letter in letters if options.json else ():
            events = await client.read(letter.stream, letter.offset, 1) if content else []
            shown = _letter_as_json(letter)
            for event in events:
                shown["event"] = event_as_json(event)
            print_json(shown)
    if options.json:
        return
    if not letters:
        print_text("no dead letters")
        return
    print_table(
        ("position", "stream", "offset", "attempts", "given up", "reason"),
        [
            (
                letter.position,
                letter.stream,
                letter.offset,
                letter.attempts,
                time_text(letter.time),
                letter.reason or "deliveries ran out",
            )
            for letter in letters
        ],
    )


@app.command
async def replay(
    *,
    consumer: str,
    position: list[str] | None = None,
    all_: Annotated[bool, Parameter(name="--all")] = False,
    reason: str = "",
    actor: str = "",
    group: str | None = None,
    options: TenantOptions = TENANT,
) -> None:
    """Deliver dead letters anew, from attempt 1. Who did so, and why, goes into the tenant's stream $consumers.

    Example: `vdb consumer replay --consumer reminders --all --reason "the mail gateway is back" --actor dr.lee`

    Parameters
    ----------
    consumer
        The consumer group's name.
    position
        GROUP:NUMBER of a dead letter, as `dead-letters` prints it. May be given several times.
    all_
        All there are.
    reason
        Why.
    actor
        Who does so.
    group
        Where it lies: a region's name, or 'global'. Without it, the region of the node.
    """
    chosen = _chosen(position, all_)
    async with options.tenant_client() as client:
        found = client.consumer(consumer, group=group)
        count = await found.replay(chosen, reason=reason, actor=actor)
        _print_settled(found, count, chosen, "to be delivered anew", options.json)


@app.command
async def drop(
    *,
    consumer: str,
    position: list[str] | None = None,
    all_: Annotated[bool, Parameter(name="--all")] = False,
    reason: str = "",
    actor: str = "",
    group: str | None = None,
    options: TenantOptions = TENANT,
) -> None:
    """Forget dead letters for good. Their events stay. Who did so, and why, goes into the tenant's stream $consumers.

    Example: `vdb consumer drop --consumer reminders --position ap-southeast-2:120 --reason "no such patient"`

    Parameters
    ----------
    consumer
        The consumer group's name.
    position
        GROUP:NUMBER of a dead letter, as `dead-letters` prints it. May be given several times.
    all_
        All there are.
    reason
        Why.
    actor
        Who does so.
    group
        Where it lies: a region's name, or 'global'. Without it, the region of the node.
    """
    chosen = _chosen(position, all_)
    async with options.tenant_client() as client:
        found = client.consumer(consumer, group=group)
        count = await found.drop(chosen, reason=reason, actor=actor)
        _print_settled(found, count, chosen, "dropped", options.json)


def _chosen(positions: list[str] | None, all_: bool) -> list[Position] | None:
    if all_ == bool(positions):
        raise ConfigError("expected either --position, or --all")
    return None if all_ else [Position.parse(position) for position in positions or ()]


def _print_settled(consumer: Consumer, count: int, chosen: list[Position] | None, what: str, as_json: bool) -> None:
    if as_json:
        print_json({"consumer": consumer.name, "count": count})
    else:
        print_text(f"{visible(consumer.name)}: {count} dead {'letter' if count == 1 else 'letters'} {what}")
    if chosen is not None and count < len(chosen):
        print_note(f"{len(chosen) - count} of {len(chosen)} positions had no dead letter")


def _start(text: str) -> AnyStart:
    if text in ("first", "last"):
        return text
    try:
        moment = parse_moment(text)
    except InvalidArgument:
        raise ConfigError(
            "--start reads first, last, OFFSET (with --stream), GROUP:NUMBER, or a time such as 2026-03-01T12:00:00Z; "
            f"found {text!r}"
        ) from None
    if moment.timestamp is not None:
        return _EPOCH + timedelta(microseconds=moment.timestamp)
    found = moment.position if moment.offset is None else moment.offset
    assert found is not None, "a moment is one of three"
    return found


# How they are shown -----------------------------------------------------------------------------------------------


def _events(meant: EventFilter) -> str:
    if meant.stream:
        streams = f"stream {meant.stream}"
    elif meant.prefixes:
        streams = "streams that begin with " + ", ".join(meant.prefixes)
    else:
        streams = "all streams"
    types = ", ".join(name or "opaque payloads" for name in meant.types)
    return f"{streams}; types {types}" if types else streams


def _start_text(start: EventStart) -> str:
    match start.kind:
        case StartKind.EDGE:
            return "the first event"
        case StartKind.END:
            return "behind the last event at its creation"
        case StartKind.TIME:
            return time_text(start.value)
        case _:
            return f"{start.kind.value} {start.value}"


def _seconds(micros: int) -> str:
    return f"{micros / 1e6:g} s"


def _lines(info: ConsumerInfo) -> list[tuple[str, str]]:
    settings = info.settings
    most = f", {settings.member_in_flight_max} a member" if settings.member_in_flight_max else ""
    deliveries = f"{settings.max_deliver} deliveries, then a dead letter" if settings.max_deliver else "without end"
    pauses = f"{_seconds(settings.backoff_us)} to {_seconds(settings.backoff_max_us)}"
    return [
        ("consumer", info.name),
        ("group", info.group),
        ("events", _events(settings.filter)),
        ("started at", _start_text(settings.start)),
        ("position", f"{info.position} of {info.head}"),
        ("in flight", f"{info.in_flight} (at most {settings.in_flight_max}{most})"),
        ("waiting", str(info.waiting)),
        ("dead letters", str(info.dead_letters)),
        ("acked", str(info.acked)),
        ("deliveries", str(info.delivered)),
        ("ack deadline", _seconds(settings.ack_us)),
        ("redelivery", f"{deliveries}; pauses of {pauses}"),
        ("order", _order(settings)),
        ("created", time_text(info.created_at)),
    ]


def _order(settings: ConsumerSettings) -> str:
    if settings.ordered_by is OrderedBy.NOTHING:
        return "none"
    return f"one at a time of each {settings.ordered_by.name.lower()}"


def as_json(info: ConsumerInfo) -> dict[str, Any]:
    """A consumer group as the object that commands print. Durations are seconds, times microseconds UTC."""
    settings = info.settings
    return {
        "consumer": info.name,
        "group": info.group,
        "stream": settings.filter.stream or None,
        "prefixes": list(settings.filter.prefixes),
        "types": list(settings.filter.types),
        "start": {"kind": settings.start.kind.value, "value": settings.start.value},
        "ack_deadline": settings.ack_us / 1e6,
        "max_in_flight": settings.in_flight_max,
        "max_in_flight_member": settings.member_in_flight_max,
        "ordered_by": settings.ordered_by.name.lower() if settings.ordered_by else None,
        "max_deliver": settings.max_deliver,
        "backoff": [settings.backoff_us / 1e6, settings.backoff_max_us / 1e6],
        "position": info.position,
        "head": info.head,
        "in_flight": info.in_flight,
        "waiting": info.waiting,
        "dead_letters": info.dead_letters,
        "acked": info.acked,
        "delivered": info.delivered,
        "created_at": info.created_at,
        "members": [{"id": member.id.hex(), "in_flight": member.in_flight} for member in info.members],
    }


def _letter_as_json(letter: DeadLetter) -> dict[str, Any]:
    return {
        "position": str(letter.position),
        "stream": letter.stream,
        "offset": letter.offset,
        "attempts": letter.attempts,
        "time": letter.time,
        "reason": letter.reason or None,
    }
