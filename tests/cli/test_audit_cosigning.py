"""A node whose configuration names a witness: heads are cosigned by themselves, shown, fetched and in the report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_heads_are_cosigned_by_themselves(
    start_node: Any,
    run_here: Any,
    follow_vdb: Callable[..., Any],
    free_ports: Callable[[int], int],
    tmp_path: Path,
) -> None:
    key, logs, port = tmp_path / "witness.key", tmp_path / "logs.txt", free_ports(1)
    verifier = run_here("witness", "key", "--out", str(key), "--name", "clinic-b.example", "--json").object["key"]
    config = f'[audit]\nwitnesses = ["http://127.0.0.1:{port} {verifier}"]\ncosign-every = "1s"\n'
    node = start_node(tmp_path / "node", config=config)

    def vdb(*arguments: str) -> Any:
        return run_here(*arguments, env={"VDB_ADDRESS": node.address})

    assert vdb("stream", "create", "--stream", "charts").code == 0
    refused = vdb("audit", "head", "--family", "audit", "--cosigned")
    assert (refused.code, "no head of this tree has been cosigned" in refused.err) == (1, True)
    assert "witnesses of ap-southeast-2: 1; not all trees have been cosigned yet" in vdb("status").out
    heads = [vdb("audit", "head", "--family", family, "--json").object for family in ("data", "audit")]
    logs.write_text("".join(f"log {head['key']}\n" for head in heads))
    arguments = ["--data-dir", str(tmp_path / "witness"), "--key-file", str(key), "--name", "clinic-b.example"]
    process = follow_vdb(
        "witness", "serve", *arguments, "--logs", str(logs), "--address", f"127.0.0.1:{port}", "--json",
        address=node.address,
    )  # fmt: skip
    assert json.loads(process.stdout.readline())["ready"]
    for _ in range(300):
        status = vdb("status").out
        if "all trees cosigned within the last" in status:
            break
        time.sleep(0.1)
    assert "witnesses of ap-southeast-2: 1; all trees cosigned within the last" in status
    cosigned = vdb("audit", "head", "--family", "audit", "--cosigned", "--key", heads[1]["key"], "--json").object
    assert "clinic-b.example" in cosigned["note"]
    report = vdb("audit", "report", "--json").object
    (row,) = (one for one in report["rows"] if one["control"] == "164.312(b)")
    told = {one["what"]: one for one in row["evidence"]}
    assert told["hours since witnesses cosigned it for the node"]["count"] == 0
    assert told["cosigned by"]["value"].startswith("clinic-b.example at ")
    assert not [one for one in row["missing"] if "witness" in one]
