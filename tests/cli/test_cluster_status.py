"""What `vdb status` says of a cluster."""

from __future__ import annotations

import time
from typing import Any

import pytest
from attrs import evolve

from vdb.cli.cluster_status import print_cluster
from vdb.cli.status import cluster_as_json
from vdb.client.admin import NodeReport
from vdb.status import GroupStatus, MemberStatus, NodeStatus


def member(node: int, **changes: Any) -> MemberStatus:
    values: dict[str, Any] = {
        "node": node,
        "name": f"n{node}",
        "learner": False,
        "address": f"10.0.0.{node}:7140",
        "peer_address": f"10.0.0.{node}:7150",
        "commit": 90,
        "checkpoint_op": 64,
        "heard_us": 20_000,
        "clock_offset_us": -1_500,
    }
    return MemberStatus(**{**values, **changes})


def group(*members: MemberStatus, **changes: Any) -> GroupStatus:
    values: dict[str, Any] = {
        "group": "eu-west-1",
        "status": "normal",
        "view": 4,
        "op": 101,
        "commit": 100,
        "checkpoint_op": 64,
        "next_position": 1234,
        "tenants": 1,
        "streams": 1,
        "sessions": 1,
        "scrubbed_at": 0,
        "scrub_faults": 0,
        "primary": 1,
        "primary_address": "10.0.0.1:7140",
        "epoch": 7,
        "members": members,
        "serving": False,
        "disk_full": False,
    }
    return GroupStatus(**{**values, **changes})


def node(number: int, *groups: GroupStatus, **changes: Any) -> NodeStatus:
    values: dict[str, Any] = {
        "node": f"n{number}",
        "region": "eu-west-1",
        "version": "0.1.0",
        "groups": groups,
        "projections": (),
        "uptime_seconds": 5.0,
        "number": number,
        "cluster": b"\xab" * 16,
        "disk_id": bytes(16),
        "clock_synchronised": True,
    }
    return NodeStatus(**{**values, **changes})


MEMBERS = (member(0), member(1, heard_us=0, clock_offset_us=0), member(2, heard_us=95_000_000, learner=True))
REPORTS = [
    NodeReport(address="10.0.0.0:7140", status=node(0, group(*MEMBERS, commit=98, view=4))),
    NodeReport(address="10.0.0.1:7140", status=node(1, group(*MEMBERS, serving=True))),
    NodeReport(address="10.0.0.2:7140", status=None, problem="nobody answers"),
]


def lines_of(reports: list[NodeReport], capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_cluster(reports)
    return capsys.readouterr().out.splitlines()


def test_each_member_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(REPORTS, capsys)
    assert lines[0] == f"cluster {'ab' * 16} in eu-west-1, 2 of 3 nodes answer"
    assert lines[2].split("\t") == ["node", "address", "version", "up", "remarks"]
    assert lines[3].split("\t") == ["n0", "10.0.0.0:7140", "0.1.0", "5 s", "-"]
    assert lines[5].split("\t") == ["n2", "10.0.0.2:7140", "-", "-", "doesn't answer"]
    assert lines[6] == "nobody answers"
    assert lines[8] == "eu-west-1: primary n1, view 4, configuration 7, position 1234"
    rows = [dict(zip(lines[9].split("\t"), line.split("\t"), strict=True)) for line in lines[10:13]]
    assert [row["state"] for row in rows] == ["voter", "primary", "learner, silent 2 min"]
    assert [row["lag"] for row in rows] == ["2", "0", "10"]
    assert [row["scrubbed"] for row in rows] == ["not yet", "not yet", "-"]
    assert [row["clock"] for row in rows] == ["-1.5 ms", "+0.0 ms", "-1.5 ms"]


def test_a_state_that_is_not_usual_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    scrubbed = int(time.time() * 1e6) - 7_200_000_000
    odd = group(*MEMBERS, status="recovering_head", scrubbed_at=scrubbed, scrub_faults=2)
    lines = lines_of([REPORTS[1], evolve(REPORTS[0], status=node(0, odd))], capsys)
    row = dict(zip(lines[7].split("\t"), lines[8].split("\t"), strict=True))
    assert (row["state"], row["scrubbed"]) == ("voter, recovering head", "2 h ago, 2 faults")


def test_what_is_wrong_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    told = node(1, group(*MEMBERS, disk_full=True), clock_synchronised=False)
    lines = lines_of([evolve(REPORTS[1], status=told)], capsys)
    assert "eu-west-1: no primary, view 4, configuration 7, position 1234" in lines
    assert lines[3].endswith("\tits clock doesn't agree with a majority's, its disk is full")


def test_a_node_that_was_removed_and_still_runs_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    removed = node(3, group(*MEMBERS, status="removed"))
    lines = lines_of([*REPORTS[:2], NodeReport(address="10.0.0.3:7140", status=removed)], capsys)
    assert lines[5].split("\t") == ["n3", "10.0.0.3:7140", "0.1.0", "5 s", "not a member any more: stop it"]


def test_a_node_that_still_thinks_it_leads_is_not_believed(capsys: pytest.CaptureFixture[str]) -> None:
    late = evolve(REPORTS[0], status=node(0, group(*MEMBERS, serving=True, view=3, primary=0)))
    assert "eu-west-1: primary n1, view 4, configuration 7, position 1234" in lines_of([late, REPORTS[1]], capsys)


def test_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of([REPORTS[2]], capsys)
    assert lines[-2].split("\t") == ["-", "10.0.0.2:7140", "-", "-", "doesn't answer"]
    assert lines[-1] == "nobody answers"


def test_as_json() -> None:
    found = cluster_as_json(REPORTS)
    assert [one["address"] for one in found["nodes"]] == [report.address for report in REPORTS]
    assert found["nodes"][2] == {"address": "10.0.0.2:7140", "problem": "nobody answers"}
    assert found["nodes"][1]["cluster"] == "ab" * 16
    assert found["nodes"][1]["groups"][0]["members"][2]["learner"] is True
