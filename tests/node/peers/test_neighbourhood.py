"""Whose disk counts, and where nodes are found: by the node's file, its configuration, and its groups' states."""

from __future__ import annotations

import trio
from attrs import define, evolve
from trio.testing import wait_all_tasks_blocked

from vdb.crypto.root import RootKeys
from vdb.kernel.command import MemberRow
from vdb.node.config import MemberConfig, NodeConfig
from vdb.node.peers.identity import IdentityFile, open_identity
from vdb.node.peers.neighbourhood import Neighbourhood
from vdb.types import GLOBAL_GROUP, GroupId, Region
from vdb.world import make_world

REGION = Region("eu-west-1")
HOME = GroupId(REGION.name)
FIRST, SECOND, THIRD = bytes(16), bytes(range(16)), bytes([7] * 16)
MEMBERS = tuple(
    MemberConfig(node=number, name=f"n{number}", peer_address=f"127.0.0.1:{number + 1}", address=f"127.0.0.1:{number}1")
    for number in range(3)
)
ROW = MemberRow(node=2, name="n2", peer_address="127.0.0.1:77", address="127.0.0.1:78", disk_id=SECOND)


@define
class FakeState:
    rows: tuple[MemberRow, ...]

    def members(self) -> tuple[MemberRow, ...]:
        return self.rows


@define
class FakeGroup:
    name: GroupId
    state: FakeState


async def make(tmp_path) -> tuple[Neighbourhood, IdentityFile]:
    world = make_world(tmp_path / "data", REGION)
    identity = await open_identity(
        world.disk, node="n0", region=REGION, entropy=world.entropy, cluster=bytes(16), founding=(0, 1, 2)
    )
    file = IdentityFile(world.disk, identity)
    await file.remember(1, FIRST)
    await file.remember(2, FIRST)
    return surround(tmp_path, file), file


def surround(tmp_path, file: IdentityFile) -> Neighbourhood:
    """As the node makes it at each start."""
    config = NodeConfig(
        region=REGION,
        root_keys=RootKeys(bytes(32)),
        members=MEMBERS,
        cluster=bytes(16),
        peer_address="127.0.0.1:0",
    )
    return Neighbourhood(make_world(tmp_path / "data", REGION), config, file)


async def settled(around: Neighbourhood, file: IdentityFile, disk: bytes) -> None:
    """Run until nothing happens any more and this is node 2's disk."""
    async with trio.open_nursery() as nursery:
        await nursery.start(around.run)
        with trio.move_on_after(0.2):
            await wait_all_tasks_blocked(0.05)
        with trio.fail_after(60):
            while file.remembered(2) != disk:  # noqa: ASYNC110
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def test_a_disk_that_no_group_names_was_replaced_before_a_crash(tmp_path) -> None:
    around, file = await make(tmp_path)
    around.add(FakeGroup(HOME, FakeState((ROW,))))
    around.add(FakeGroup(GLOBAL_GROUP, FakeState(())))
    around.settle()
    await settled(around, file, SECOND)
    assert file.remembered(2) == SECOND
    assert file.remembered(1) == FIRST


async def test_a_disk_that_one_group_still_names_counts_until_it_doesnt(tmp_path) -> None:
    around, file = await make(tmp_path)
    around.add(FakeGroup(HOME, FakeState((ROW,))))
    around.add(FakeGroup(GLOBAL_GROUP, FakeState((evolve(ROW, disk_id=FIRST),))))
    around.settle()
    await settled(around, file, FIRST)
    assert file.remembered(2) == FIRST
    around.on_members(GLOBAL_GROUP, FakeState((ROW,)))
    await settled(around, file, SECOND)
    assert file.remembered(2) == SECOND


async def test_a_log_that_is_read_again_brings_no_replaced_disk_back(tmp_path) -> None:
    """Recovered twice; a restart then goes through the first recovery again, and may need the node to get further."""
    around, file = await make(tmp_path)
    for disk in (FIRST, SECOND, THIRD):
        around.on_members(HOME, FakeState((evolve(ROW, disk_id=disk),)))
    await settled(around, file, THIRD)
    again = surround(tmp_path, file)
    again.add(FakeGroup(HOME, FakeState((evolve(ROW, disk_id=FIRST),))))
    again.add(FakeGroup(GLOBAL_GROUP, FakeState((evolve(ROW, disk_id=FIRST),))))
    again.settle()
    again.on_members(HOME, FakeState((evolve(ROW, disk_id=SECOND),)))
    await settled(again, file, THIRD)
    again.on_members(GLOBAL_GROUP, FakeState((evolve(ROW, disk_id=SECOND),)))
    again.on_members(GLOBAL_GROUP, FakeState((evolve(ROW, disk_id=THIRD),)))
    await settled(again, file, THIRD)
    assert file.remembered(2) == THIRD


async def test_who_met_a_node_with_its_newest_disk_reads_of_the_older_ones_later(tmp_path) -> None:
    around, file = await make(tmp_path)
    await file.remember(2, THIRD)
    for disk in (FIRST, SECOND, THIRD):
        around.on_members(HOME, FakeState((evolve(ROW, disk_id=disk),)))
    await settled(around, file, THIRD)
    assert file.remembered(2) == THIRD
    assert file.was_replaced(2, SECOND)


async def test_nodes_are_found_by_the_configuration_then_the_log_then_the_state(tmp_path) -> None:
    around, _file = await make(tmp_path)
    assert {status.node: status.address for status in around.peers.status()} == {}
    async with trio.open_nursery() as nursery:
        await nursery.start(around.run)
        assert addresses(around) == {1: "127.0.0.1:2", 2: "127.0.0.1:3"}
        around.on_named([evolve(ROW, node=3)])
        assert addresses(around) == {1: "127.0.0.1:2", 2: "127.0.0.1:3", 3: "127.0.0.1:77"}
        around.add(FakeGroup(HOME, FakeState((ROW, evolve(ROW, node=3, peer_address="127.0.0.1:99")))))
        assert addresses(around) == {1: "127.0.0.1:2", 2: "127.0.0.1:77", 3: "127.0.0.1:99"}
        nursery.cancel_scope.cancel()


def addresses(around: Neighbourhood) -> dict[int, str]:
    return {status.node: status.address for status in around.peers.status()}


REGIONAL = NodeConfig(
    region=REGION,
    root_keys=RootKeys(bytes(32)),
    members=(
        *(evolve(member, region=REGION) for member in MEMBERS[:2]),
        evolve(MEMBERS[2], region=Region("us-east-1")),
        MemberConfig(
            node=3, name="n3", peer_address="127.0.0.1:4", address="127.0.0.1:31", region=Region("us-east-1"),
            holds_global=False,
        ),
    ),
    cluster=bytes(16),
    peer_address="127.0.0.1:0",
)  # fmt: skip


async def test_a_regions_group_speaks_with_its_region_alone(tmp_path) -> None:
    _, file = await make(tmp_path)
    around = Neighbourhood(make_world(tmp_path / "other", REGION), REGIONAL, file)
    sent: list[tuple[int, bytes]] = []
    around.peers.send = lambda to, group, message: sent.append((to, group))  # type: ignore[method-assign, assignment]
    home, shared = around.neighbours(HOME), around.neighbours(GLOBAL_GROUP)
    for node in (1, 2):
        home.send(node, None)  # type: ignore[arg-type]
        shared.send(node, None)  # type: ignore[arg-type]
    assert [to for to, _ in sent] == [1, 1, 2]
    assert sent[0][1] != sent[1][1] == sent[2][1]


async def test_a_regions_group_hears_its_region_alone(tmp_path) -> None:
    class Hearing:
        def __init__(self) -> None:
            self.heard: list[object] = []

        def receive(self, message: object) -> None:
            self.heard.append(message)

        def lose(self, node: int) -> None:
            pass

    _, file = await make(tmp_path)
    around = Neighbourhood(make_world(tmp_path / "other", REGION), REGIONAL, file)
    home, shared = Hearing(), Hearing()
    around.hear(HOME, home)
    around.hear(GLOBAL_GROUP, shared)
    for group in around._groups:
        around._on_message(group, 1, "from here")  # type: ignore[arg-type]
        around._on_message(group, 2, "from abroad")  # type: ignore[arg-type]
    assert home.heard == ["from here"]
    assert shared.heard == ["from here", "from abroad"]


async def test_there_are_links_with_those_who_share_a_group(tmp_path) -> None:
    assert REGIONAL.neighbours == (0, 1, 2)
    assert REGIONAL.groups == (HOME, GLOBAL_GROUP)
    _, file = await make(tmp_path)
    around = Neighbourhood(make_world(tmp_path / "other", REGION), REGIONAL, file)
    assert sorted(around._addresses()) == [0, 1, 2]
