"""What a node is told: the shape of a cluster is checked before anything is touched."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from vdb.crypto.root import RootKeys
from vdb.errors import ConfigError
from vdb.node.config import MemberConfig, NodeConfig
from vdb.types import GLOBAL_GROUP, GroupId, Region

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


def test_who_joins_voters_and_learners_guesses_no_more_voters_than_a_group_may_have() -> None:
    present = tuple(evolve(THREE[0], node=number, name=f"n{number}") for number in range(9))
    guess = config(members=present, node=2, join=True).first_configuration(HOME)
    assert (guess.voters, guess.learners) == ((0, 1, 3, 4, 5, 6), (2,))


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


EU, US = Region("eu-west-1"), Region("us-east-1")
REGIONS = tuple(
    MemberConfig(
        node=number, name="n", peer_address="h:1", address="h:2", region=US if number > 2 else EU,
        holds_global=number in (0, 3),
    )
    for number in range(6)
)  # fmt: skip


def test_each_group_is_founded_by_the_nodes_that_hold_it() -> None:
    node = config(members=REGIONS, node=0)
    assert node.groups == (HOME, GLOBAL_GROUP)
    assert node.first_configuration(HOME).voters == (0, 1, 2)
    assert node.first_configuration(GLOBAL_GROUP).voters == (0, 3)
    assert node.founding == (0, 1, 2, 3)
    assert node.regions == (EU, US)


def test_a_node_without_the_global_group_knows_its_region_alone() -> None:
    node = config(members=REGIONS, node=2)
    assert node.groups == (HOME,)
    assert node.founding == node.neighbours == (0, 1, 2)


def test_one_that_joins_guesses_for_each_group() -> None:
    joins = config(
        members=(*REGIONS, MemberConfig(node=9, name="n", peer_address="h:1", address="h:2", region=EU)),
        node=9,
        join=True,
    )
    assert joins.first_configuration(HOME).voters == (0, 1, 2)
    assert joins.first_configuration(GLOBAL_GROUP).voters == (0, 3)
    assert joins.first_configuration(GLOBAL_GROUP).learners == (9,)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"members": REGIONS, "node": 4}, "node 4 is in region us-east-1 there, and in eu-west-1 itself"),
        ({"members": tuple(evolve(one, holds_global=False) for one in REGIONS)}, "no node holds the global group"),
        (
            {"members": tuple(evolve(one, region=US) for one in REGIONS), "node": 9, "join": True},
            "nobody else holds group eu-west-1, so there is nothing to join",
        ),
    ],
)
def test_regions_that_make_no_cluster(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**fields)
