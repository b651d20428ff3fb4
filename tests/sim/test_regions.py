"""Several regions in a run: who holds what, and what may be harmed and lost there."""

from __future__ import annotations

import pytest

from sim.checkers.abroad import Abroad
from sim.options import Options
from sim.regions import REGIONS, Regions
from sim.run import run_seed
from sim.verdict import Verdict

EU, US, _ = REGIONS
TWO = {
    "regions": 2,
    "nodes": 4,
    "spares": 0,
    "global_nodes": 1,
    "wan_us": 20_000,
    "harmed": [],
    "sql": False,
    "events": False,
    "requests": 80,
    "disturbances": ["cut_region", "foreign_member", "crash"],
    "beyond_repair": False,
    "dead_at_the_end": False,
}


def test_machines_are_dealt_out_to_the_regions() -> None:
    places = Regions(count=2, nodes=5, spares=1, shared=1)
    assert [places.of(number) for number in range(6)] == [EU, US, EU, US, EU, US]
    assert places.founders(EU) == (0, 2, 4)
    assert places.holders(US) == (1, 3, 5)
    assert places.founders("global") == (0, 1)
    assert places.groups_of(2) == (EU,)


def test_there_are_no_more_regions_than_nodes() -> None:
    assert Regions(count=3, nodes=2).names == (EU, US)
    assert Regions(count=3, nodes=1).groups == (EU, "global")


def test_a_minority_of_each_group_may_be_harmed_and_fewer_lost() -> None:
    drawn = Options.draw(1)
    six = drawn.override({"regions": 2, "nodes": 6, "global_nodes": 0, "harmed": [0, 2, 1, 3, 4, 5]})
    assert six.harmed_nodes == six.lost_nodes == (0, 1)
    four = drawn.override({"regions": 2, "nodes": 4, "global_nodes": 0, "harmed": [3, 2, 1, 0]})
    assert four.harmed_nodes == (3,)
    assert four.lost_nodes == ()
    assert drawn.override({"regions": 1, "nodes": 3, "harmed": [2, 1]}).harmed_nodes == (2,)


@pytest.mark.parametrize(
    ("chunks", "broken"),
    [
        ([b"canary-7f3a9-payload-eu-west-1-3"], "abroad-wire"),
        ([b"..canary-7f3a9-pay", b"load-eu-west-1-3"], "abroad-wire"),
        ([b"VDBR" + bytes(47) + b"\x09eu-west-1"], "abroad-wire"),
        ([b"VDBR" + bytes(20), bytes(27) + b"\x09eu-west-1"], "abroad-wire"),
        ([b"canary-7f3a9-payload-us-east-1-3"], ""),
        ([b"canary-7f3a9-payload-global-3"], ""),
        ([b"VDBR" + bytes(47) + b"\x09us-east-1", b"VDBR"], ""),
    ],
)
def test_what_a_node_abroad_must_not_be_sent(chunks: list[bytes], broken: str) -> None:
    verdict = Verdict()
    abroad = Abroad(verdict, {"n0": EU, "n1": US}, (EU, US))
    for chunk in chunks:
        abroad.on_sent("n0", "c1", chunk)
        abroad.on_sent("n0", "n1", chunk)
    assert (verdict.violation.invariant if verdict.violation is not None else "") == broken


def test_what_lies_on_a_disk_abroad() -> None:
    verdict = Verdict()
    abroad = Abroad(verdict, {"n0": EU, "n1": US}, (EU, US))
    abroad.check_disk("n1", [("wal", b"VDBR" + bytes(47) + b"\x09us-east-1")])
    assert verdict.violation is None
    abroad.check_disk("n1", [("wal", b".." + b"VDBR" + bytes(47) + b"\x09eu-west-1")])
    assert verdict.violation is not None
    assert verdict.violation.message == "n1, which is in us-east-1, has a sealed record of eu-west-1 in wal"


def test_a_run_of_two_regions_holds_and_looks_abroad() -> None:
    result = run_seed(3, overrides=TWO)
    assert result.ok, result.violation
    assert result.checks["abroad-wire"] > 1_000
    assert result.checks["abroad-disk"] > 100
