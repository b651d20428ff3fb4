"""The RPC door of a cluster's administration: methods of `interface VerityDb` that change a group's members."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from vdb.kernel.command import MemberRow
from vdb.node.gate.guard import Guard
from vdb.rpc.server import IncomingCall

Handler = Callable[[IncomingCall], None]


def member_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods. Each answers once the change is committed."""

    def add(call: IncomingCall) -> None:
        params = call.params
        group = params.group
        member = MemberRow(
            node=params.node,
            name=params.name,
            peer_address=params.peerAddress,
            address=params.address,
            disk_id=bytes(params.diskId),
            region=params.region,
        )
        _answer(call, lambda: guard.add_member(group, member))

    def promote(call: IncomingCall) -> None:
        group, node = call.params.group, call.params.node
        _answer(call, lambda: guard.promote_member(group, node))

    def remove(call: IncomingCall) -> None:
        group, node = call.params.group, call.params.node
        _answer(call, lambda: guard.remove_member(group, node))

    def recover(call: IncomingCall) -> None:
        group, node, disk_id = call.params.group, call.params.node, bytes(call.params.diskId)
        _answer(call, lambda: guard.recover_member(group, node, disk_id))

    def abdicate(call: IncomingCall) -> None:
        group = call.params.group

        async def run() -> None:
            await guard.abdicate(group)
            call.respond(lambda results: None)

        call.start_soon(run)

    return {
        "addMember": add,
        "promoteMember": promote,
        "removeMember": remove,
        "recoverMember": recover,
        "abdicate": abdicate,
    }


def _answer(call: IncomingCall, change: Callable[[], Awaitable[int]]) -> None:
    async def run() -> None:
        epoch = await change()
        call.respond(lambda results: setattr(results, "epoch", epoch))

    call.start_soon(run)
