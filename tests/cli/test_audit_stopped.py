"""Evidence from data directories whose server is dead: audits of them, and exports that verify."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def officer(run_here: Any, tmp_path: Path) -> list[str]:
    file = tmp_path / "officer.key"
    assert run_here("witness", "key", "--out", str(file), "--name", "officer.kim", "--exporter").code == 0
    return ["--sign-key", str(file), "--signer", "officer.kim"]


def test_a_killed_nodes_log_is_exported_under_the_key_that_it_signed_with(
    start_node: Any, run_here: Any, officer: list[str], tmp_path: Path
) -> None:
    node = start_node(tmp_path / "node")
    env = {"VDB_ADDRESS": node.address}
    assert run_here("stream", "create", "--stream", "charts", env=env).code == 0
    for number in range(3):
        ran = run_here("publish", "--stream", "charts", "--payload", "x", "--subject", f"Patient/{number}", env=env)
        assert ran.code == 0
    head = run_here("audit", "head", "--family", "audit", "--json", env=env).object
    node.end(signal.SIGKILL)
    stored = ["--data-dir", str(tmp_path / "node" / "data"), "--key-file", str(tmp_path / "node" / "root.key")]
    out = tmp_path / "export.zip"
    ran = run_here("audit", "export", *stored, "--out", str(out), *officer)
    assert ran.code == 0, ran.err
    assert "that it was exported is in no log, since no node runs" in ran.err
    found = run_here("audit", "verify-export", "--export", str(out), "--key", head["key"], "--json").object
    assert (found["holds"], found["complete"], found["size"]) == (True, True, head["size"])
    assert (found["kinds"], found["source"]) == ({"create": 1, "write": 3}, "the data directory of a stopped node")

    (tmp_path / "head.note").write_text(head["note"])
    kept = ["--since", str(tmp_path / "head.note"), "--key", head["key"]]
    audits = run_here("audit", "verify", *stored, *kept, "--json").objects
    assert {(one["family"], one["records"], len(one["findings"])) for one in audits if one["tenant"] == 1} == {
        ("data", 4, 0),
        ("audit", 4, 0),
    }
    assert [one["continues"] for one in audits if one["family"] == "audit" and one["tenant"] == 1] == [True]
    nobody = run_here("audit", "export", *stored, "--tenant", "7", "--out", str(tmp_path / "none"), *officer)
    assert (nobody.code, "tenant 7 has no audit log" in nobody.err) == (1, True)
    assert not (tmp_path / "none").exists()


def test_each_member_of_a_dead_cluster_shows_what_it_knew_to_be_committed(
    cluster: Any, run_here: Any, officer: list[str], tmp_path: Path
) -> None:
    cluster.limit(0, 1, 2)
    cluster.start(0, 1, 2)
    cluster.vdb("stream", "create", "--stream", "charts")
    for number in range(5):
        cluster.vdb("publish", "--stream", "charts", "--payload", "x", "--subject", f"Patient/{number}")
    size = json.loads(cluster.vdb("audit", "head", "--family", "audit", "--json").out)["size"]
    cluster.end()
    sizes = []
    for number in range(3):
        out = tmp_path / f"export-{number}"
        stored = ["--data-dir", str(cluster.place / f"data-n{number}"), "--key-file", str(cluster.place / "root.key")]
        ran = run_here("audit", "export", *stored, "--out", str(out), *officer, "--json")
        assert ran.code == 0, ran.err
        assert ran.object["leaf"] is None
        found = run_here("audit", "verify-export", "--export", str(out), "--key", ran.object["key"], "--json").object
        assert (found["holds"], found["complete"]) == (True, True)
        sizes.append(found["size"])
        audits = run_here("audit", "log", *stored, "--json").objects
        assert all(one["findings"] == [] for one in audits)
        roots = {one["family"]: one["root"] for one in audits if (one["group"], one["tenant"]) == ("ap-southeast-2", 1)}
        assert roots["audit"] == found["root"]
    assert max(sizes) >= size - 1
    assert min(sizes) >= size - 2
    cluster.start(0, 1, 2)
    assert json.loads(cluster.vdb("audit", "head", "--family", "audit", "--json").out)["size"] >= size
