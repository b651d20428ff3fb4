"""`vdb start` as a real process: ready line, clean stop, and every way in which it can't start."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vdb.world.keys import generate_root_key

REGION = ("--region", "ap-southeast-2")


def write_key(path: Path, mode: int = 0o600) -> Path:
    path.touch(mode=mode)
    path.chmod(mode)
    path.write_text(generate_root_key())
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ready_line_and_clean_stop(start_node: Callable[..., Any], tmp_path: Path, number: int) -> None:
    node = start_node(tmp_path, "--log-format", "json")
    assert node.ready["ready"] is True
    host, _, port = node.address.rpartition(":")
    assert host == "127.0.0.1"
    assert int(port) > 0
    assert node.end(number) == 0
    lines = [json.loads(line) for line in (tmp_path / "node.log").read_text().splitlines()]
    assert lines[-1]["event"] == "stopped"
    assert {"event", "level", "timestamp"} <= lines[0].keys()


def test_a_node_starts_again_with_its_data(
    start_node: Callable[..., Any], run_vdb: Callable[..., Any], tmp_path: Path
) -> None:
    node = start_node(tmp_path)
    at = {"VDB_ADDRESS": node.address}
    assert run_vdb("stream", "create", "--stream", "notes", env=at).code == 0
    assert run_vdb("publish", "--stream", "notes", "--payload", "kept", env=at).code == 0
    node.end(signal.SIGKILL)
    node = start_node(tmp_path)
    found = run_vdb("read", "--stream", "notes", "--json", env={"VDB_ADDRESS": node.address})
    assert found.object["payload"] == "kept"
    assert node.end() == 0


def test_missing_keys(run_vdb: Callable[..., Any], tmp_path: Path) -> None:
    found = run_vdb("start", "--data-dir", str(tmp_path / "data"), *REGION)
    assert found.code == 2
    assert found.out == ""
    assert found.err.startswith("error: no root key: set VDB_ROOT_KEY to the base64 text of 32 random bytes")
    assert "--key-file" in found.err
    assert len(found.err.splitlines()) == 1
    assert not (tmp_path / "data").exists()


def test_an_error_as_json(run_vdb: Callable[..., Any], tmp_path: Path) -> None:
    found = run_vdb("start", "--data-dir", str(tmp_path / "data"), *REGION, "--json")
    assert found.code == 2
    assert found.out == ""
    assert found.error["code"] == "KEYS_MISSING"
    assert found.error["definite"] is True


def test_a_key_in_the_environment_that_is_none(run_vdb: Callable[..., Any], tmp_path: Path) -> None:
    found = run_vdb("start", "--data-dir", str(tmp_path), *REGION, env={"VDB_ROOT_KEY": "c2hvcnQ="})
    assert found.code == 2
    assert "a root key is the base64 text of 32 random bytes; found 5 bytes" in found.err
    assert "c2hvcnQ=" not in found.err


def test_a_key_file_that_others_can_read(run_vdb: Callable[..., Any], tmp_path: Path) -> None:
    key = write_key(tmp_path / "root.key", 0o644)
    found = run_vdb("start", "--data-dir", str(tmp_path / "data"), *REGION, "--key-file", str(key))
    assert found.code == 2
    assert "has mode 0644" in found.err
    assert f"chmod 600 {key}" in found.err


def test_the_wrong_key(start_node: Callable[..., Any], run_vdb: Callable[..., Any], tmp_path: Path) -> None:
    node = start_node(tmp_path)
    node.end()
    other = write_key(tmp_path / "other.key")
    found = run_vdb("start", "--config", str(tmp_path / "node.toml"), "--key-file", str(other), "--json")
    assert found.code == 2
    assert found.error["code"] == "WRONG_KEY"


def test_a_port_in_use(run_vdb: Callable[..., Any], tmp_path: Path) -> None:
    key = write_key(tmp_path / "root.key")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        place = ("--data-dir", str(tmp_path / "data"), *REGION)
        found = run_vdb("start", *place, "--key-file", str(key), "--address", address)
    assert found.code == 2
    assert f"{address} is in use" in found.err
    assert "--address" in found.err


def test_a_second_node_on_the_directory(
    start_node: Callable[..., Any], run_vdb: Callable[..., Any], tmp_path: Path
) -> None:
    node = start_node(tmp_path)
    found = run_vdb("start", "--config", str(tmp_path / "node.toml"), "--address", "127.0.0.1:0")
    assert found.code == 2
    assert f"in use by process {node.process.pid}" in found.err
    assert node.end() == 0


def test_another_region_on_the_directory(
    start_node: Callable[..., Any], run_vdb: Callable[..., Any], tmp_path: Path
) -> None:
    start_node(tmp_path).end()
    found = run_vdb("start", "--config", str(tmp_path / "node.toml"), "--region", "eu-west-1", "--json")
    assert found.code == 2
    assert found.error["code"] == "FOREIGN_DATA"


def test_off_loopback_without_tls(run_vdb: Callable[..., Any], tmp_path: Path) -> None:
    key = write_key(tmp_path / "root.key")
    place = ("--data-dir", str(tmp_path / "data"), *REGION)
    found = run_vdb("start", *place, "--key-file", str(key), "--address", "0.0.0.0:0")
    assert found.code == 2
    assert "no TLS is configured" in found.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--region", "ap-southeast-2"], "no data directory: expected --data-dir"),
        (["--data-dir", "x"], "no region: expected --region"),
        (["--data-dir", "x", "--region", "Sydney!"], "a region's name has 2 to 32 characters"),
        (["--data-dir", "x", "--bogus", "1"], "--bogus"),
    ],
)
def test_bad_usage(run_vdb: Callable[..., Any], arguments: list[str], message: str) -> None:
    found = run_vdb("start", *arguments)
    assert found.code == 2
    assert message in found.err
    assert "Traceback" not in found.err
