"""The RPC door of a cluster's administration: methods of `interface VerityDb` that change a group's members."""

from __future__ import annotations

from functools import partial

from vdb.kernel.command import MemberRow
from vdb.node.doors.answering import Handler, answer, field
from vdb.node.gate.guard import Guard
from vdb.rpc.server import IncomingCall

_EPOCH = field("epoch")


def member_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods. Each answers once the change is committed."""

    def add(call: IncomingCall) -> None:
        params = call.params
        member = MemberRow(
            node=params.node,
            name=params.name,
            peer_address=params.peerAddress,
            address=params.address,
            disk_id=bytes(params.diskId),
            region=params.region,
        )
        answer(call, partial(guard.add_member, params.group, member), _EPOCH)

    def promote(call: IncomingCall) -> None:
        answer(call, partial(guard.promote_member, call.params.group, call.params.node), _EPOCH)

    def remove(call: IncomingCall) -> None:
        answer(call, partial(guard.remove_member, call.params.group, call.params.node), _EPOCH)

    def recover(call: IncomingCall) -> None:
        params = call.params
        answer(call, partial(guard.recover_member, params.group, params.node, bytes(params.diskId)), _EPOCH)

    def abdicate(call: IncomingCall) -> None:
        answer(call, partial(guard.abdicate, call.params.group))

    return {
        "addMember": add,
        "promoteMember": promote,
        "removeMember": remove,
        "recoverMember": recover,
        "abdicate": abdicate,
    }
