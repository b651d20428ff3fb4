"""Listens, and serves each connection with the RPC face.

A bad connection ends alone, and what can't be taken for want of files waits. A broken invariant that a call meets ends
the node, as one met anywhere else does.
"""

from __future__ import annotations

import math

import trio
from attrs import evolve

from vdb.errors import ConnectionLost
from vdb.marks import mark
from vdb.node import log
from vdb.node.config import NodeConfig
from vdb.node.doors.accepting import Accepting
from vdb.node.doors.sql_door import SqlDoor
from vdb.node.gate.guard import Guard
from vdb.node.gate.node_service import NodeService
from vdb.node.identity.identities import Identities
from vdb.node.identity.visit import Visit
from vdb.ports import Listener, Network, Peer
from vdb.rare import rare
from vdb.rpc.interface import Interface
from vdb.rpc.limits import RpcLimits
from vdb.rpc.server import ReceiveBudget, serve
from vdb.wire.framing import WORD
from vdb.wire.schema import verity

INTERFACE = Interface.of(verity.VerityDb)

UNFINISHED_MESSAGES_MAX = 16
"""Messages of the largest size that all connections together may be in the middle of sending."""
HANDSHAKE_SECONDS_MAX = 10.0
"""How long a client may take to show its certificate."""
CALL_ROOM = 1024 * 1024
"""Bytes that a call may take beside an append of the largest size."""


async def serve_connections(
    listener: Listener,
    config: NodeConfig,
    service: NodeService,
    network: Network,
    identities: Identities,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept until cancelled, then close the listener."""
    limits = _limits_for(service)
    budget = ReceiveBudget(UNFINISHED_MESSAGES_MAX * limits.message_size_max)
    slots = trio.CapacityLimiter(config.connections_max)
    accepting = Accepting(listener, "clients")
    task_status.started()

    broken, broke = trio.open_memory_channel[BaseException](math.inf)

    def report(error: BaseException) -> None:
        log.warning("rpc.internal_error", kind=type(error).__name__)
        if isinstance(error, AssertionError):
            broken.send_nowait(error)

    async def serve_one(stream: trio.abc.Stream, holder: object) -> None:
        try:
            peer = await _peer(network, stream)
            if peer is not None:
                await serve_peer(stream, peer)
        finally:
            slots.release_on_behalf_of(holder)

    async def serve_peer(stream: trio.abc.Stream, peer: Peer) -> None:
        scope = trio.CancelScope()
        visit = Visit(identities, peer, scope.cancel)
        guard = Guard(service, visit.connected, visit)
        door = SqlDoor(guard)
        guard.note_elsewhere()

        def look() -> None:
            why = guard.ended() or ("by chance" if rare("accept.ended") else "")
            if why:
                mark("accept.credential_ended")
                log.info("accept.closed", client=peer.address, reason=why)
                scope.cancel()

        unwatch = identities.watch(look)
        try:
            with scope:
                await serve(
                    stream, dispatch=door.dispatch, interface=INTERFACE, limits=limits, report=report, budget=budget
                )
        finally:
            unwatch()
            visit.leave()
            await door.close()

    async def stop_when_broken() -> None:
        raise await broke.receive()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_when_broken)
            while True:
                holder = object()
                await slots.acquire_on_behalf_of(holder)
                stream = await accepting.next()
                mark("accept.connection")
                nursery.start_soon(serve_one, stream, holder)
    finally:
        with trio.CancelScope(shield=True):
            await listener.aclose()


async def _peer(network: Network, stream: trio.abc.Stream) -> Peer | None:
    """Who is at the other side; None, and the stream closed, if it doesn't say so in time."""
    try:
        with trio.move_on_after(HANDSHAKE_SECONDS_MAX):
            return await network.peer(stream)
    except ConnectionLost as error:
        mark("accept.handshake_failed")
        log.info("accept.handshake_failed", reason=log.reason(error))
    await trio.aclose_forcefully(stream)
    return None


def _limits_for(service: NodeService) -> RpcLimits:
    """The usual ones, and more where a group takes larger appends: what a client may send, the gate judges."""
    largest = max(group.limits.transaction_size_max for group in service.groups.values())
    usual = RpcLimits()
    size = max(usual.message_size_max, -(-largest // WORD) * WORD + CALL_ROOM)
    return evolve(usual, message_size_max=size, queued_bytes_max=max(usual.queued_bytes_max, size))
