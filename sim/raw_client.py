"""A client that does on purpose what the real one never does: send without a session, and send one request twice.

It speaks plain RPC on connections of its own, so it may have two copies of a request in the node's pipeline at once. Of
several nodes it asks one after the other until one doesn't say that it isn't the primary.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio

from vdb.errors import ConnectionLost, NotPrimary, NotReady, VerityError
from vdb.kernel.command import Origin
from vdb.rpc.client import open_client
from vdb.rpc.interface import Interface
from vdb.wire.schema import verity

ANSWER_SECONDS_MAX = 10.0
INTERFACE = Interface.of(verity.VerityDb)

Connector = Callable[[], Awaitable[Any]]
Connectors = Sequence[Connector]
"""Ways to the nodes, in the order in which they are asked."""


async def publish_raw(
    connectors: Connectors, tenant: int, stream: str, payloads: Sequence[bytes], origin: Origin
) -> tuple[int, int]:
    """One publish on a fresh connection: (first offset, next position). Errors are those of `vdb.errors`."""

    def build(params: Any) -> None:
        params.origin.client = origin.client
        params.origin.session = origin.session
        params.origin.number = origin.number
        params.tenant = tenant
        params.stream = stream
        params.payloads = list(payloads)
        params.expected.any = None

    results = await _call(connectors, "publish", build)
    return results.firstOffset, results.nextPosition


async def open_session_raw(connectors: Connectors, client: bytes, group: str) -> int:
    def build(params: Any) -> None:
        params.client = client
        params.group = group

    results = await _call(connectors, "openSession", build)
    session: int = results.session
    return session


async def publish_twice(
    connectors: Connectors, tenant: int, stream: str, payloads: Sequence[bytes], origin: Origin, delay: float
) -> list[tuple[int, int] | VerityError]:
    """The same request twice, the second time `delay` seconds later, on two connections; both outcomes."""
    outcomes: list[tuple[int, int] | VerityError] = []

    async def send(wait: float) -> None:
        await trio.sleep(wait)
        try:
            outcomes.append(await publish_raw(connectors, tenant, stream, payloads, origin))
        except VerityError as error:
            outcomes.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, 0.0)
        nursery.start_soon(send, delay)
    return outcomes


async def _call(connectors: Connectors, method: str, build: Callable[[Any], None]) -> Any:
    """Raises ConnectionLost if it isn't known what became of the call."""
    with trio.move_on_after(ANSWER_SECONDS_MAX):
        for connector in connectors[:-1]:
            try:
                return await _call_one(connector, method, build)
            except (NotPrimary, NotReady):
                continue
        return await _call_one(connectors[-1], method, build)
    raise ConnectionLost(f"no answer to {method} within {ANSWER_SECONDS_MAX:g} s")


async def _call_one(connector: Connector, method: str, build: Callable[[Any], None]) -> Any:
    async with open_client(await connector(), INTERFACE) as rpc:
        return await rpc.call(method, build)
