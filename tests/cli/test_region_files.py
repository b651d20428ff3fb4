"""What `vdb cluster init --regions` and `prepare --region` write."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vdb.cli.config_file import read_config_file
from vdb.node.peers.hello import region_name
from vdb.world.keys import root_keys_from_file

EU, US = "eu-central-1", "us-east-1"


def init(run_here: Callable[..., Any], place: Path, *more: str) -> Any:
    return run_here("cluster", "init", "--dir", str(place), "--regions", f"{EU},{US}", *more)


def test_each_region_has_its_nodes_and_a_key_of_its_own(run_here: Callable[..., Any], tmp_path: Path) -> None:
    ran = init(run_here, tmp_path, "--nodes", "2", "--global-nodes", "1", "--json")
    assert ran.code == 0, ran.err
    assert ran.object["address"] == ",".join(f"127.0.0.1:{7140 + number}" for number in range(4))
    for number, (region, shared) in enumerate([(EU, True), (EU, False), (US, True), (US, False)]):
        config = read_config_file(tmp_path / f"n{number}.toml")
        assert config.node.region == region
        assert [(member.region, member.global_group) for member in config.members] == [
            (EU, True), (EU, False), (US, True), (US, False),
        ]  # fmt: skip
        assert config.node.key_file == (f"root-{region}.key" if shared else f"root-{region}-only.key")
        assert config.tls is not None
        decoded = ssl._ssl._test_decode_cert(str(tmp_path / config.tls.cert))  # type: ignore[attr-defined]
        names = [name for kind, name in decoded["subjectAltName"] if kind == "DNS"]
        cluster = config.node.cluster_id()
        assert cluster is not None
        assert region_name(cluster, region) in names
        assert region_name(cluster, US if region == EU else EU) not in names


def test_no_node_has_another_regions_key(run_here: Callable[..., Any], tmp_path: Path) -> None:
    init(run_here, tmp_path, "--nodes", "2", "--global-nodes", "1")
    texts = {path.name: path.read_text() for path in tmp_path.glob("*.key")}
    assert sorted(texts) == sorted(f"root-{region}{only}.key" for region in (EU, US) for only in ("", "-only"))
    lines = {name: dict(line.split(" = ") for line in text.splitlines()) for name, text in texts.items()}
    regional = {region: lines[f"root-{region}.key"]["regional"] for region in (EU, US)}
    assert regional[EU] != regional[US]
    assert lines[f"root-{EU}.key"]["global"] == lines[f"root-{US}.key"]["global"]
    for region in (EU, US):
        assert lines[f"root-{region}-only.key"] == {"regional": regional[region]}
    for name in texts:
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        root_keys_from_file(tmp_path / name)


def test_a_cluster_of_one_region_has_one_key_and_no_word_of_regions(
    run_here: Callable[..., Any], tmp_path: Path
) -> None:
    run_here("cluster", "init", "--dir", str(tmp_path), "--nodes", "2")
    assert [path.name for path in tmp_path.glob("*.key")] == ["root.key"]
    text = (tmp_path / "n0.toml").read_text()
    assert "global-group" not in text
    assert text.count("region = ") == 1


def test_all_nodes_hold_the_global_group_as_far_as_it_has_room(run_here: Callable[..., Any], tmp_path: Path) -> None:
    run_here("cluster", "init", "--dir", str(tmp_path), "--regions", f"{EU},{US}", "--nodes", "5")
    members = read_config_file(tmp_path / "n0.toml").members
    assert [member.number for member in members if member.global_group] == [0, 1, 2, 5, 6, 7]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--regions", f"{EU},{EU}"), "--regions: each region once"),
        (("--regions", f"{EU},{US}", "--host", "10.0.0.1"), "--host: as many for each of 2 regions; found 1"),
        (("--regions", f"{EU},{US}", "--global-nodes", "4", "--nodes", "4"), "the global group has 1 to 6 nodes"),
        (("--regions", f"{EU},{US}", "--global-nodes", "0"), "the global group has 1 to 6 nodes"),
        (("--regions", f"{EU},global"), "a region can't be called 'global'"),
        (("--regions", f"{EU},{US}", "--nodes", "7"), "a cluster begins with 1 to 6 nodes; found 7"),
    ],
)
def test_what_makes_no_cluster(
    run_here: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    ran = run_here("cluster", "init", "--dir", str(tmp_path), *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_node_that_joins_names_its_region(run_here: Callable[..., Any], tmp_path: Path) -> None:
    init(run_here, tmp_path, "--nodes", "1")
    nobody = ("--address", "127.0.0.1:1")
    prepare = ("cluster", "prepare", "--dir", str(tmp_path), "--node", "2", *nobody)
    refused = run_here(*prepare, "--region", "mars-1")
    assert (refused.code, f"--region: expected one of {EU}, {US}; found mars-1" in refused.err) == (2, True)
    assert run_here(*prepare).code == 2
    ran = run_here(*prepare, "--region", US, "--no-global-group")
    assert ran.code == 0, ran.err
    config = read_config_file(tmp_path / "n2.toml")
    assert (config.node.region, config.node.join) == (US, True)
    assert config.node.key_file == f"root-{US}-only.key"
    own = next(member for member in config.members if member.number == 2)
    assert (own.region, own.global_group) == (US, False)
    lines = (tmp_path / f"root-{US}-only.key").read_text().splitlines()
    assert lines == [(tmp_path / f"root-{US}.key").read_text().splitlines()[0]]
