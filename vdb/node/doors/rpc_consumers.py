"""The RPC door of consumer groups.

What answers deliveries is dispatched without a task of its own, in the order of arrival, as other writes are; what
looks at the log gets a task.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from vdb.consumers import DeadLetterInfo
from vdb.errors import DefiniteError, PrimaryLost
from vdb.node.doors.answering import Handler, answer, field
from vdb.node.gate.guard import Guard
from vdb.node.gate.origin import read_origin
from vdb.rpc.server import IncomingCall
from vdb.wire.api import read_level
from vdb.wire.consumer_api import deliveries_into, infos_into, letters_into, settings_from, settlements_from


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
    answer(call, partial(guard.consumers.create, origin, tenant, group, name, settings), field("created"))


def _fetch(guard: Guard, call: IncomingCall) -> None:
    params = call.params
    tenant, group, name, member = params.tenant, params.group, params.consumer, bytes(params.member)
    maximum, wait_us = params.max, params.waitMicros
    held = list(params.held) if params.again else None
    answer(call, partial(guard.consumers.fetch, tenant, group, name, member, maximum, wait_us, held), deliveries_into)


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
    answer(call, partial(guard.consumers.infos, tenant, group, name, level=level), infos_into)


def _delete(guard: Guard, call: IncomingCall) -> None:
    params = call.params
    origin, tenant, group, name = read_origin(params.origin), params.tenant, params.group, params.consumer
    answer(call, partial(guard.consumers.delete, origin, tenant, group, name), field("deleted"))


def _letters(guard: Guard, call: IncomingCall) -> None:
    params = call.params
    tenant, group, name, after, maximum = params.tenant, params.group, params.consumer, params.after, params.max
    answer(call, partial(guard.consumers.dead_letters, tenant, group, name, after, maximum), _fill_letters)


def _fill_letters(results: Any, found: tuple[list[DeadLetterInfo], bool]) -> None:
    letters, results.more = found
    letters_into(results, letters)


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
