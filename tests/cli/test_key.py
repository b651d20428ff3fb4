"""`vdb key`: a root key is exchanged for another one while a node serves, and dropped once nothing needs it."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree
from time import sleep
from typing import Any

import pytest
from attrs import evolve

from vdb.cli.key import _check_unneeded
from vdb.errors import InvalidArgument
from vdb.keys import KeyReport, KeyStatus
from vdb.world.keys import generate_root_key


def test_a_rotation_while_a_node_serves(start_node: Any, run_here: Any, tmp_path: Path) -> None:
    node, key = start_node(tmp_path), tmp_path / "root.key"
    before = key.read_text()

    def vdb(*arguments: str) -> Any:
        ran = run_here(*arguments, env={"VDB_ADDRESS": node.address})
        assert ran.code in (0, 1), ran.err
        return ran

    for tenant in ("1", "2"):
        vdb("stream", "create", "--tenant", tenant, "--stream", "notes", "--data-class", "phi")
        vdb("publish", "--tenant", tenant, "--stream", "notes", "--payload", f"of {tenant}", "--subject", "jane")
    status = vdb("key", "status", "--json").objects
    assert [(one["group"], one["provider"], one["behind"], one["settled"]) for one in status] == [
        ("ap-southeast-2", "file", 0, True),
        ("global", "file", 0, True),
    ]
    assert status[0]["given"] == [status[0]["root_key_id"]]

    assert vdb("key", "next", str(key)).code == 0
    early = run_here("key", "retire", str(key), "--json", env={"VDB_ADDRESS": node.address})
    assert early.code == 2
    assert "node node-1 goes by another root key than the file's first" in early.error["message"]
    copytree(tmp_path / "data", tmp_path / "copy")
    rotated = vdb("key", "rotate", "--step", "1", "--json").objects
    assert [(one["group"], one["left"]) for one in rotated] == [("ap-southeast-2", 0), ("global", 0)]
    assert rotated[0]["rewrapped"] >= 2
    again = vdb("key", "status", "--json")
    for _ in range(600):
        if again.code == 0:
            break
        sleep(0.1)  # files of rows follow by themselves
        again = vdb("key", "status", "--json")
    assert again.code == 0
    assert again.objects[0]["root_key_id"] == rotated[0]["root_key_id"] != status[0]["root_key_id"]
    assert all(one["settled"] for one in again.objects)
    assert vdb("publish", "--tenant", "1", "--stream", "notes", "--payload", "after", "--subject", "jane").code == 0
    assert vdb("key", "retire", str(key), "--json").object["dropped"] == 1
    node.end()

    config = tmp_path / "node.toml"
    copied = run_here("start", "--config", str(config), "--data-dir", str(tmp_path / "copy"), "--json")
    assert copied.error["code"] == "WRONG_KEY", "a copy from before the rotation, without the key that was retired"
    node = start_node(tmp_path)
    assert [one["payload"] for one in vdb("read", "--tenant", "1", "--stream", "notes", "--json").objects] == [
        "of 1",
        "after",
    ]
    period = vdb("key", "rotate", "--tenant", "2", "--group", "ap-southeast-2", "--json").object
    assert period == {"group": "ap-southeast-2", "tenant": 2, "period": 2}
    text = vdb("key", "status").out
    assert rotated[0]["root_key_id"][:8] in text
    node.end()

    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path != key)
    for secret in (before.strip(), key.read_text().split("=", 1)[1].strip()):
        assert secret.encode() not in written, "a root key in a log or in the data directory"


def test_a_node_without_the_new_key_stops_a_rotation(start_node: Any, run_here: Any, tmp_path: Path) -> None:
    """Of one node nothing can differ, so two nodes are asked as if they were of one cluster."""
    nodes = [start_node(tmp_path / name) for name in ("a", "b")]
    for node in nodes:
        run_here("stream", "create", "--stream", "notes", env={"VDB_ADDRESS": node.address})
    nodes[1].end()
    ran = run_here(
        "key",
        "rotate",
        "--group",
        "ap-southeast-2",
        "--json",
        env={"VDB_ADDRESS": ",".join(node.address for node in nodes)},
    )
    assert ran.code == 2
    assert "all nodes of group ap-southeast-2 must have the new root key before" in ran.error["message"]
    assert nodes[1].address in ran.error["message"]


def test_nobody_retires_a_key_while_a_node_is_silent(start_node: Any, run_here: Any, tmp_path: Path) -> None:
    node, key = start_node(tmp_path), tmp_path / "root.key"
    assert run_here("key", "next", str(key)).code == 0
    node.end()
    ran = run_here("key", "retire", str(key), "--json", env={"VDB_ADDRESS": node.address})
    assert ran.code != 0
    assert "other = " in key.read_text()
    assert run_here("key", "retire", str(key), "--force", "--json").object["dropped"] == 1
    assert "other = " not in key.read_text()


def test_who_needs_a_key_behind_the_first_is_named() -> None:
    first, before = b"1" * 16, b"0" * 16
    settled = KeyStatus(
        node="n0", group="global", provider="file", root_key_id=first, given=(first, before), tenants=1, behind=0,
        keys=1, began=1, settled=True,
    )  # fmt: skip
    _check_unneeded("global", [KeyReport(address="a", status=settled)], first)
    for status, words in (
        (None, "a doesn't say what it needs"),
        (evolve(settled, root_key_id=before), f"expected {first.hex()}, found {before.hex()}; rotate first"),
        (evolve(settled, settled=False), "the disk of node n0 still needs another root key"),
        (evolve(settled, files=2), "node n0 has 2 files under an earlier key"),
    ):
        with pytest.raises(InvalidArgument, match=words):
            _check_unneeded("global", [KeyReport(address="a", status=status)], first)


def test_keys_are_made_and_never_overwritten(run_here: Any, tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    assert run_here("key", "create", str(path), "--json").object == {"file": str(path), "created": True}
    text = path.read_text()
    ran = run_here("key", "create", str(path), "--json")
    assert (ran.code, path.read_text()) == (2, text)
    assert "is there already" in ran.error["message"]
    assert text.strip() not in ran.err


def test_a_key_in_the_kms_needs_a_region(run_here: Any, tmp_path: Path) -> None:
    ran = run_here("key", "create", str(tmp_path / "root.kms"), "--kms-key", "alias/verity", "--json")
    assert ran.code == 2
    assert "expected --region, found none" in ran.error["message"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ('[keys]\nprovider = "hsm"\n', "Invalid enum value 'hsm'"),
        ('[keys]\nfile = "other.key"\n', "the key file is named twice"),
        ('[keys]\nprovider = "aws-kms"\n', "isn't one of keys that AWS KMS wrapped"),
    ],
)
def test_wrong_settings_of_keys(run_here: Any, tmp_path: Path, settings: str, words: str) -> None:
    key, config = tmp_path / "root.key", tmp_path / "node.toml"
    key.touch(mode=0o600)
    key.write_text(generate_root_key())
    config.write_text(f'[node]\nregion = "ap-southeast-2"\ndata-dir = "data"\nkey-file = "root.key"\n{settings}')
    ran = run_here("start", "--config", str(config), "--json")
    assert ran.code == 2
    assert words in ran.error["message"]
    assert key.read_text() not in ran.err
