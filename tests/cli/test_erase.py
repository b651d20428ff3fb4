"""`vdb erase`, `vdb hold`, `vdb retention` against a node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_a_subject_is_erased(start_node: Any, run_here: Any, tmp_path: Path) -> None:
    node = start_node(tmp_path)

    def vdb(*arguments: str) -> Any:
        return run_here(*arguments, env={"VDB_ADDRESS": node.address, "VDB_TENANT": "1"})

    vdb("stream", "create", "--stream", "notes")
    vdb("publish", "--stream", "notes", "--payload", "hello", "--subject", "jane")
    vdb("publish", "--stream", "notes", "--payload", "other", "--subject", "john")
    assert vdb("hold", "place", "--subject", "jane", "--reason", "case 1", "--json").object == {"hold": 1}
    dry = vdb("erase", "--subject", "jane", "--json")
    assert dry.code == 1
    assert dry.object["against"] == ["hold 1 is on the subject"]
    assert dry.object["erased"] is False
    refused = vdb("erase", "--subject", "jane", "--basis", "GDPR 17(1)(b)", "--yes", "--json")
    assert refused.error["code"] == "ON_HOLD"
    assert vdb("hold", "release", "--hold", "1", "--reason", "closed").code == 0
    assert "case 1" in vdb("hold", "list").out
    assert vdb("retention", "set", "--stream", "no*", "--days", "10").code == 0
    assert vdb("retention", "list", "--json").object == {"stream": "no*", "data_class": "phi", "days": 10}
    assert vdb("erase", "--subject", "jane").code == 1
    would = vdb("retention", "apply")
    assert would.code == 0
    assert "would erase what 0 keys have sealed\nwould prune 0 segments: 0 bytes of sealed records" in would.out
    assert "this was a dry run" in would.err
    assert vdb("retention", "apply", "--yes", "--json").object == {
        "erased": True,
        "keys": 0,
        "segments": 0,
        "bytes": 0,
        "left": 0,
        "held": {"keys": 0, "segments": 0, "bytes": 0},
        "erasure": 0,
    }
    assert vdb("retention", "set", "--stream", "no*", "--days", "0").code == 0
    text = vdb("erase", "--subject", "jane")
    assert text.code == 0
    assert "would erase 1 events" in text.out
    done = vdb("erase", "--subject", "jane", "--basis", "GDPR 17(1)(b)", "--yes", "--wait", "300", "--json")
    assert done.code == 0, done.err
    assert done.object["pending"] == []
    listed = vdb("erase", "list", "--json").object
    assert listed["pending"] == []
    assert "done" in vdb("erase", "list").out
    shown = vdb("read", "--stream", "notes", "--json").objects
    assert [one.get("erased", one.get("payload")) for one in shown] == [True, "other"]
    assert [line.split("\t")[-1] for line in vdb("read", "--stream", "notes").out.splitlines()] == ["(erased)", "other"]
    again = vdb("publish", "--stream", "notes", "--payload", "x", "--subject", "jane", "--json")
    assert again.error["code"] == "SUBJECT_ERASED"
    searched = vdb("audit", "search", "--subject", "jane")
    assert "this subject was erased on 20" in searched.err
    assert "go on naming the subject" in searched.err
    out = tmp_path / "erasure.json"
    assert vdb("erase", "certificate", "--erasure", "1", "--out", str(out)).code == 0
    head = vdb("audit", "head", "--group", "ap-southeast-2").out + vdb("audit", "head", "--group", "ap-southeast-2").err
    key = next(word for word in head.split() if word.startswith("veritydb/") and "+" in word)
    checked = run_here("erase", "verify", str(out), "--key", key)
    assert checked.code == 0, checked.err
    assert "acknowledged by node 0" in checked.out
    assert "basis: GDPR 17(1)(b); " in checked.out
    assert "leaves that are left of it: 1; sealed bytes: kept" in checked.out
    assert "opens with the root key that is still in use" in checked.out
    whole = json.loads(out.read_text())
    whole["certificate"]["basis"] = "another"
    out.write_text(json.dumps(whole))
    assert run_here("erase", "verify", str(out)).code == 1
    node.end()
