"""Two regions in three processes over sockets: each keeps its PHI on its own nodes, and the two share what is global.

n0 and n1 are in eu-central-1, n2 in us-east-1; n0 and n2 hold the global group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from vdb.cli.cluster_files import ClusterFiles, Place
from vdb.client.connect import SyncClient, connect_sync
from vdb.client.values import StreamAppend
from vdb.errors import CrossGroup, InvalidArgument, PlacementViolation, StreamExists, UnknownStream

EU, US = "eu-central-1", "us-east-1"
LIMITS = """
[limits]
message-size-max = 16384
wal-slots = 64
checkpoint-interval = 32
pipeline-max = 4
"""
RECORD_MAGIC = b"VDBR"
RECORD_SAMPLE = 260
"""Bytes of a record that hold its header, its salt and a part of its sealed body: no two records share them."""


def client_of(regions: Any, *numbers: int, **settings: Any) -> SyncClient:
    return connect_sync(regions.address(*numbers), tls=regions.tls, connect_for=30.0, **settings)


def files_of(regions: Any, number: int) -> dict[str, bytes]:
    """All that a node has on its disk, by path."""
    root = regions.place / f"data-n{number}"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def regions(
    tmp_path_factory: pytest.TempPathFactory, nodes_of_cluster: Callable[..., Any], free_ports: Callable[[int], int]
) -> Iterator[Any]:
    place, port = tmp_path_factory.mktemp("regions"), free_ports(6)
    files = ClusterFiles(directory=place, cluster=bytes(range(16)), region=EU, tls=True, extra=LIMITS)
    files.write_all(
        [
            Place(
                number=number,
                host="127.0.0.1",
                port=port + number,
                peer_port=port + 3 + number,
                region=US if number == 2 else EU,
                holds_global=number != 1,
            )
            for number in range(3)
        ]
    )
    made = nodes_of_cluster(place, port)
    made.start(0, 1, 2)
    with client_of(made, 0) as client:
        client.create_stream("eu/charts", placement=EU)
        client.create_stream("us/charts", placement=US)
        client.create_stream("terms", "non-phi", "global")
        for number in range(20):
            client.publish("eu/charts", b"canary of the eu %d" % number)
            client.publish("us/charts", b"canary of the us %d" % number)
            client.publish("terms", b"term %d" % number)
    yield made
    made.end()


def test_a_client_of_any_node_reaches_all_regions(regions: Any) -> None:
    for number in range(3):
        with client_of(regions, number) as client:
            assert client.read("us/charts")[0].payload == b"canary of the us 0"
            assert len(client.read("eu/charts")) == len(client.read("terms")) == 20
            placed = {stream.name: stream.placement for stream in client.list_streams()}
            assert placed == {"eu/charts": EU, "us/charts": US, "terms": "global"}
            at = client.publish("us/charts", b"from node %d" % number).position
            assert at.group == US
            assert client.read("us/charts", 19, at_least=at)[-1].payload == b"from node %d" % number


def test_a_client_may_be_bound_to_its_region(regions: Any) -> None:
    with client_of(regions, 0, region=US) as client:
        assert [stream.name for stream in client.list_streams()] == ["us/charts", "terms"]
        with pytest.raises(UnknownStream, match="has no stream 'eu/charts'"):
            client.read("eu/charts")
        with pytest.raises(PlacementViolation, match=r"this client is bound to region us-east-1: .* eu-central-1"):
            client.create_stream("eu/more", placement=EU)


def test_what_no_region_may_take_is_refused(regions: Any) -> None:
    with client_of(regions, 2) as client:
        with pytest.raises(
            PlacementViolation, match="no node holds a group 'mars-1': expected one of eu-central-1, us"
        ):
            client.create_stream("x", placement="mars-1")
        with pytest.raises(StreamExists, match="has a stream of this name in eu-central-1 already"):
            client.create_stream("eu/charts", placement=US)
        with pytest.raises(CrossGroup, match="found eu-central-1, us-east-1"):
            client.append([StreamAppend(stream=name, runs=()) for name in ("eu/charts", "us/charts")])


def test_a_node_of_another_region_becomes_no_member(regions: Any) -> None:
    with client_of(regions, 0) as client:
        american = client.cluster.status_of(regions.address(2))
        assert [group.group for group in american.groups] == [US, "global"]
        where = {"peer_address": f"127.0.0.1:{regions.port + 5}", "address": regions.address(2)}
        with pytest.raises(PlacementViolation, match="members of its region alone; found node 2 of region 'us-east-1'"):
            client.cluster.add(EU, 2, name="n2", disk_id=american.disk_id, region=US, **where)
        with pytest.raises((PlacementViolation, InvalidArgument)):
            client.cluster.add(EU, 2, name="n2", disk_id=american.disk_id, **where)


def test_status_names_the_regions(regions: Any, run_here: Callable[..., Any]) -> None:
    regions.run_here = run_here
    said = regions.vdb("status").out
    assert "of 2 regions, 3 of 3 nodes answer" in said
    assert "eu-central-1\tn0, n1\tn0" in said
    assert "us-east-1\tn2\tn2" in said
    nodes = regions.vdb("status", "--json").object["nodes"]
    assert {node["number"]: [group["group"] for group in node["groups"]] for node in nodes} == {
        0: [EU, "global"],
        1: [EU],
        2: [US, "global"],
    }


def test_nothing_of_a_region_lies_on_the_disk_of_another(regions: Any) -> None:
    """Neither in clear nor sealed."""
    regions.end()
    disks = {number: files_of(regions, number) for number in range(3)}
    regions.start(0, 1, 2)
    for number, own in ((0, EU), (1, EU), (2, US)):
        other = US if own == EU else EU
        assert any(own in path for path in disks[number])
        assert not any(other in path for path in disks[number])
        everything = b"\0".join(disks[number].values())
        assert b"canary" not in everything
        foreign = [disk for abroad, disk in disks.items() if (abroad == 2) != (number == 2)]
        records = [record for disk in foreign for record in sealed_records(disk, other)]
        assert len(records) >= 20
        assert not any(record in everything for record in records)
    assert not any("global" in path for path in disks[1])


def sealed_records(disk: dict[str, bytes], region: str) -> list[bytes]:
    """Samples of the sealed records of a region's group on a disk."""
    found: dict[bytes, None] = {}
    for path, content in disk.items():
        at = content.find(RECORD_MAGIC) if region in path else -1
        while at >= 0:
            sample = content[at : at + RECORD_SAMPLE]
            if region.encode() in sample:
                found[sample] = None
            at = content.find(RECORD_MAGIC, at + 1)
    return list(found)


def test_every_record_is_proved_to_lie_in_its_region(regions: Any, run_here: Callable[..., Any]) -> None:
    regions.run_here = run_here
    ran = regions.vdb("placement", "prove", "--json")
    assert ran.code == 0, ran.err
    trees = {(tree["group"], tree["family"]): tree for tree in ran.object["trees"]}
    for group in (EU, US, "global"):
        tree = trees[group, "data"]
        assert {record["region"] for record in tree["records"]} == {group}
        assert sum(record["count"] for record in tree["records"]) == tree["leaves"] >= 21
        assert tree["origin"].endswith(f"/{group}/t-1/data")
    assert "phi" not in {record["data_class"] for record in trees["global", "data"]["records"]}
    assert {record["region"] for record in trees[US, "audit"]["records"]} == {US}
    keys = [argument for tree in trees.values() for argument in ("--key", tree["key"])]
    told = regions.vdb("placement", "prove", *keys)
    assert told.code == 0
    assert "each record lies in the region it is sealed for" in told.out
    assert "transfers that were refused: 0" in told.out
    assert "not proven: where the machines, their disks" in told.err
    assert ran.object["refused"] == {"count": 0, "by_door": {}, "entries": [], "not_read": []}
    ran = regions.vdb("placement", "prove", "--group", EU, "--key", trees[US, "data"]["key"], fine=False)
    assert (ran.code, "isn't signed by a key that is trusted" in ran.err) == (1, True)


def test_a_node_joins_its_region_alone(
    regions: Any, run_here: Callable[..., Any], free_ports: Callable[[int], int]
) -> None:
    regions.run_here = run_here
    (regions.place / "root-us-east-1-only.key").unlink(missing_ok=True)
    port = free_ports(2)
    ran = regions.vdb(
        "cluster", "prepare", "--dir", str(regions.place), "--node", "3", "--region", US, "--no-global-group",
        "--port", str(port), "--peer-port", str(port + 1),
    )  # fmt: skip
    assert ran.code == 0, ran.err
    with (regions.place / "n3.toml").open("a") as file:
        file.write(LIMITS)
    regions.start(3)
    ran = regions.vdb("cluster", "add", "--at", f"127.0.0.1:{port}", "--json")
    assert ran.code == 0, ran.err
    assert [(said["group"], said["role"]) for said in ran.objects] == [(US, "learner")]
    ran = regions.vdb("cluster", "promote", "--node", "3", "--json")
    assert ran.code == 0, ran.err
    nodes = {node["number"]: node for node in regions.vdb("status", "--json").object["nodes"]}
    assert sorted(nodes) == [0, 1, 2, 3]
    (group,) = nodes[3]["groups"]
    assert [(member["node"], member["learner"]) for member in group["members"]] == [(2, False), (3, False)]
    with client_of(regions, 2) as client:
        assert client.publish("us/charts", b"canary of the us again").position.group == US
