"""A node that is asked to stop lets others take over what it leads, so that clients needn't wait until they miss it.

Nobody is waited for who can't come: where too few voters are connected for another view, as when all nodes of a
cluster are stopped, the node stops at once.
"""

from __future__ import annotations

import trio

from vdb.marks import mark
from vdb.node.node import Node
from vdb.node.replication.group import Group

HAND_OVER_SECONDS_MAX = 2.0
"""How long another primary is waited for."""
_LOOK_SECONDS = 0.02


async def hand_over(node: Node) -> None:
    """Return once others lead what this node led, or can't, or it has taken HAND_OVER_SECONDS_MAX."""
    led = [group for group in node.groups.values() if group.is_serving and _can_be_taken_over(node, group)]
    for group in led:
        group.abdicate()
    deadline = trio.current_time() + HAND_OVER_SECONDS_MAX
    while led and trio.current_time() < deadline:
        await trio.sleep(_LOOK_SECONDS)
        led = [group for group in led if _is_needed(group) and _can_be_taken_over(node, group)]


def _is_needed(group: Group) -> bool:
    return group.is_serving or not group.primary_hint()


def _can_be_taken_over(node: Node, group: Group) -> bool:
    """Whether the voters that are here, with this node, are enough to begin a view and to go on in it."""
    configuration = group.replica.configuration
    if len(configuration.voters) == 1 or node.neighbourhood is None:
        return False
    connected = [peer.node for peer in node.neighbourhood.peers.status() if peer.connected]
    here = sum(voter in connected or voter == group.replica.replica for voter in configuration.voters)
    enough = max(configuration.quorums.view_change, configuration.quorums.replication)
    if here < enough:
        mark("node.nobody_takes_over")
    return here >= enough
