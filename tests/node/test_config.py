"""What a node is told: the shape of a cluster is checked before anything is touched."""

from __future__ import annotations

from typing import Any

import pytest

from vdb.crypto.root import RootKeys
from vdb.errors import ConfigError
from vdb.node.config import MemberConfig, NodeConfig
from vdb.types import GroupId, Region

HOME = GroupId("eu-west-1")

THREE = tuple(
    MemberConfig(node=number, name=f"n{number}", peer_address=f"h{number}:7150", address=f"h{number}:7140")
    for number in (2, 0, 1)
)


def config(**fields: Any) -> NodeConfig:
    made: dict[str, Any] = {"members": THREE, "cluster": bytes(16), "peer_address": "h0:7150", **fields}
    return NodeConfig(region=Region("eu-west-1"), root_keys=RootKeys(bytes(32)), **made)


def test_a_node_that_is_alone_founds_a_group_of_itself() -> None:
    alone = config(members=(), cluster=None, peer_address=None, node=4)
    assert alone.founding == (4,)
    assert alone.first_configuration(HOME).voters == (4,)


def test_founding_nodes_agree_on_the_first_configuration_whatever_their_order() -> None:
    assert config().founding == (0, 1, 2)
    assert config(node=2).first_configuration(HOME) == config(members=THREE[::-1]).first_configuration(HOME)


def test_who_joins_founds_nothing_and_guesses_itself_a_learner() -> None:
    joins = config(node=3, join=True)
    assert joins.founding == ()
    assert (joins.first_configuration(HOME).voters, joins.first_configuration(HOME).learners) == ((0, 1, 2), (3,))
    again = config(node=2, join=True)
    assert (again.first_configuration(HOME).voters, again.first_configuration(HOME).learners) == ((0, 1), (2,))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"members": THREE + THREE[:1]}, "each node has a number of its own; found one twice"),
        ({"node": 255}, "a node's number lies between 0 and 254"),
        ({"members": (), "join": True}, "a node that joins needs the members of its cluster"),
        ({"cluster": None}, "expected cluster = 32 hex digits"),
        ({"cluster": b"short"}, "expected cluster = 32 hex digits"),
        ({"peer_address": None}, "expected peer_address = HOST:PORT"),
        ({"node": 3}, r"members: expected node 3 among them, found \[0, 1, 2\]"),
        (
            {"members": tuple(MemberConfig(node=n, name="n", peer_address="h:1", address="h:2") for n in range(7))},
            "a group begins with at most 6 nodes; found 7",
        ),
    ],
)
def test_what_makes_no_cluster_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**fields)
