"""The RPC door of consumer groups.

What answers deliveries is dispatched without a task of its own, in the order of arrival, as other writes are; what
looks at the log gets a task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vdb.errors import DefiniteError, PrimaryLost
from vdb.node.gate.guard import Guard
from vdb.node.gate.origin import read_origin
from vdb.rpc.server import IncomingCall
from vdb.wire.api import read_level
from vdb.wire.consumer_api import deliveries_into, infos_into, letters_into, settings_from, settlements_from

Handler = Callable[[IncomingCall], None]


def consumer_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods."""
    return {
        "consumerCreate": lambda call: _create(guard, call),
        "consumerFetch": lambda call: _fetch(guard, call),
        "consumerSettle": lambda call: _settle(guard, call),
        "consumerLeave": lambda call: _leave(guard, call),
        "consumerList": lambda call: _list(guard, call),
        "consumerDelete": lambda call: _delete(guard, call),
        "deadLetters": lambda call: _letters(guard, call),
        "deadLettersSettle": lambda call: _settle_letters(guard, call),
    }


def _create(guard: Guard, call: IncomingCall) -> None:
    params = call.params
    origin, tenant, group, name = read_origin(params.origin), params.tenant, params.group, params.consumer
    settings = settings_from(params.settings)

    async def run() -> None:
        created = await guard.consumers.create(origin, tenant, group, name, settings)
        call.respond(lambda results: setattr(results, "created", created))

    call.start_soon(run)


def _fetch(guard: Guard, call: IncomingCall) -> None:
    params = call.params
    tenant, group, name, member = params.tenant, params.group, params.consumer, bytes(params.member)
    maximum, wait_us = params.max, params.waitMicros
    held = list(params.held) if params.again else None

    async def run() -> None:
        deliveries = await guard.consumers.fetch(tenant, group, name, member, maximum, wait_us, held)
        call.respond(lambda results: deliveries_into(results, deliveries))

    call.start_soon(run)


def _settle(guard: Guard, call: IncomingCall) -> None:
    params = call.params

    def on_answer(late: list[int] | DefiniteError | PrimaryLost) -> None:
        if isinstance(late, list):
            call.respond(lambda results: setattr(results, "late", late))
        else:
            call.fail(late)

    guard.consumers.settle_soon(
        read_origin(params.origin),
        params.tenant,
        params.group,
        params.consumer,
        bytes(params.member),
        settlements_from(params),
        on_answer,
    )


def _leave(guard: Guard, call: IncomingCall) -> None:
    params = call.params
    on_answer = _count(call, "returned")
    origin, member = read_origin(params.origin), bytes(params.member)
    guard.consumers.leave_soon(origin, params.tenant, params.group, params.consumer, member, on_answer)


def _list(guard: Guard, call: IncomingCall) -> None:
    params = call.params
    tenant, group, name, level = params.tenant, params.group, params.consumer, read_level(params.consistency)

    async def run() -> None:
        infos = await guard.consumers.infos(tenant, group, name, level=level)
        call.respond(lambda results: infos_into(results, infos))

    call.start_soon(run)


def _delete(guard: Guard, call: IncomingCall) -> None:
    params = call.params
    origin, tenant, group, name = read_origin(params.origin), params.tenant, params.group, params.consumer

    async def run() -> None:
        deleted = await guard.consumers.delete(origin, tenant, group, name)
        call.respond(lambda results: setattr(results, "deleted", deleted))

    call.start_soon(run)


def _letters(guard: Guard, call: IncomingCall) -> None:
    params = call.params
    tenant, group, name, after, maximum = params.tenant, params.group, params.consumer, params.after, params.max

    async def run() -> None:
        letters, more = await guard.consumers.dead_letters(tenant, group, name, after, maximum)

        def build(results: Any) -> None:
            letters_into(results, letters)
            results.more = more

        call.respond(build)

    call.start_soon(run)


def _settle_letters(guard: Guard, call: IncomingCall) -> None:
    params = call.params
    guard.consumers.settle_dead_letters_soon(
        read_origin(params.origin),
        params.tenant,
        params.group,
        params.consumer,
        list(params.positions),
        params.drop,
        params.actor,
        params.reason,
        _count(call, "count"),
    )


def _count(call: IncomingCall, name: str) -> Callable[[int | DefiniteError | PrimaryLost], None]:
    """Answer with a number in the field of this name."""

    def on_answer(count: int | DefiniteError | PrimaryLost) -> None:
        if isinstance(count, int):
            call.respond(lambda results: setattr(results, name, count))
        else:
            call.fail(count)

    return on_answer
