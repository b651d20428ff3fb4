"""Commands against a real node: what they print, as text and as JSON, and their exit codes."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Vdb = Callable[..., Any]


@pytest.fixture(scope="module", autouse=True)
def streams(node: Any, run_vdb: Vdb) -> None:
    at = {"VDB_ADDRESS": node.address}
    for stream, more in (("notes", ()), ("rooms", ("--data-class", "non-phi", "--placement", "global"))):
        found = run_vdb("stream", "create", "--stream", stream, *more, env=at)
        assert found.code == 0, found.err
        assert found.out.startswith(f"created: {stream} (")


def test_a_stream_that_exists(vdb_at: Vdb) -> None:
    found = vdb_at("stream", "create", "--stream", "notes")
    assert found.code == 1
    assert found.out == ""
    assert found.err.startswith("error: ")
    assert len(found.err.splitlines()) == 1
    found = vdb_at("stream", "create", "--stream", "notes", "--if-not-exists", "--json")
    assert found.code == 0
    assert found.object["created"] is False
    assert found.object["placement"] == "ap-southeast-2"


def test_listing_and_showing_streams(vdb_at: Vdb) -> None:
    names = [info["stream"] for info in vdb_at("stream", "list", "--json").objects]
    assert "notes" in names
    assert "rooms" in names
    lines = vdb_at("stream", "list").out.splitlines()
    assert lines[0] == "stream\tclass\tplacement\tevents\tcreated"
    assert vdb_at("stream", "show", "--stream", "rooms", "--json").object["data_class"] == "non-phi"
    assert "placement    global" in vdb_at("stream", "show", "--stream", "rooms").out


def test_publishing_and_reading(vdb_at: Vdb) -> None:
    vdb_at("stream", "create", "--stream", "p")
    found = vdb_at("publish", "--stream", "p", "--payload", "hello", "--payload", "wörld", "--json")
    assert (found.object["first_offset"], found.object["next_offset"]) == (0, 2)
    assert vdb_at("publish", "--stream", "p", "--payload", "\x1b[2J").out == "p: offset 2\n"
    events = vdb_at("read", "--stream", "p", "--json").objects
    assert [event["payload"] for event in events] == ["hello", "wörld", "\x1b[2J"]
    assert [event["offset"] for event in events] == [0, 1, 2]
    text = vdb_at("read", "--stream", "p", "--from", "1", "--limit", "2").out.splitlines()
    assert [line.split("\t")[-1] for line in text] == ["wörld", "\\x1b[2J"]
    position = found.object["position"]
    after = vdb_at("read", "--position", position, "--limit", "1", "--json").object
    assert after["payload"] == "\x1b[2J"


def test_publishing_lines_of_standard_input(vdb_at: Vdb, run_vdb: Vdb, node: Any) -> None:
    vdb_at("stream", "create", "--stream", "lines")
    lines = b"\n".join(b"line %d" % index for index in range(250)) + b"\n\nlast without an end"
    arguments = ("publish", "--stream", "lines", "--stdin", "--batch", "100", "--json")
    found = run_vdb(*arguments, stdin=lines, env={"VDB_ADDRESS": node.address})
    assert found.code == 0
    assert found.objects[-1]["next_offset"] == 251
    assert all(part["next_offset"] - part["first_offset"] <= 100 for part in found.objects)
    events = vdb_at("read", "--stream", "lines", "--json").objects
    assert [event["payload"] for event in events[-2:]] == ["line 249", "last without an end"]


def test_following_into_live_events(vdb_at: Vdb, node: Any, follow_vdb: Callable[..., Any]) -> None:
    vdb_at("stream", "create", "--stream", "live")
    vdb_at("publish", "--stream", "live", "--payload", "history")
    follower = follow_vdb("read", "--stream", "live", "--follow", "--limit", "2", "--json", address=node.address)
    assert json.loads(follower.stdout.readline())["payload"] == "history"
    vdb_at("publish", "--stream", "live", "--payload", "now")
    assert json.loads(follower.stdout.readline())["payload"] == "now"
    assert follower.wait(120) == 0


def test_an_interrupted_follower_says_nothing(vdb_at: Vdb, node: Any, follow_vdb: Callable[..., Any]) -> None:
    vdb_at("stream", "create", "--stream", "still")
    vdb_at("publish", "--stream", "still", "--payload", "one")
    follower = follow_vdb("read", "--stream", "still", "--follow", "--json", address=node.address)
    follower.stdout.readline()
    follower.send_signal(signal.SIGINT)
    assert follower.wait(120) == 130
    assert follower.stderr.read() == b""


def test_a_follower_says_that_its_node_is_gone_and_back(
    start_node: Callable[..., Any], run_vdb: Vdb, follow_vdb: Callable[..., Any], tmp_path: Path
) -> None:
    node = start_node(tmp_path)
    at = {"VDB_ADDRESS": node.address}
    assert run_vdb("stream", "create", "--stream", "notes", env=at).code == 0
    assert run_vdb("publish", "--stream", "notes", "--payload", "one", env=at).code == 0
    follower = follow_vdb("read", "--stream", "notes", "--follow", "--limit", "2", "--json", address=node.address)
    assert json.loads(follower.stdout.readline())["payload"] == "one"
    node.end(signal.SIGKILL)
    lost = follower.stderr.readline().decode()
    assert lost == f"note: the connection to {node.address} is lost; trying again\n"
    start_node(tmp_path, arguments=["start", "--config", str(tmp_path / "node.toml"), "--address", node.address])
    assert follower.stderr.readline().decode() == f"note: connected to {node.address} again\n"
    assert run_vdb("publish", "--stream", "notes", "--payload", "two", env=at).code == 0
    assert json.loads(follower.stdout.readline())["payload"] == "two"
    assert follower.wait(120) == 0
    assert follower.stderr.read() == b""


def test_a_reader_that_goes_away(vdb_at: Vdb, node: Any, follow_vdb: Callable[..., Any]) -> None:
    vdb_at("stream", "create", "--stream", "long")
    payloads = [word for _ in range(8) for word in ("--payload", "x" * 4000)]
    for _ in range(8):
        assert vdb_at("publish", "--stream", "long", *payloads).code == 0
    reader = follow_vdb("read", "--stream", "long", address=node.address)
    reader.stdout.readline()
    reader.stdout.close()
    assert reader.wait(120) == 1
    assert reader.stderr.read() == b""


def test_a_condition_that_does_not_hold(vdb_at: Vdb) -> None:
    vdb_at("stream", "create", "--stream", "c")
    found = vdb_at("publish", "--stream", "c", "--payload", "x", "--expected", "5", "--json")
    assert found.code == 1
    assert found.out == ""
    assert found.error["code"] == "WRONG_EXPECTED_OFFSET"
    assert found.error["definite"] is True
    assert vdb_at("publish", "--stream", "c", "--payload", "x", "--expected", "0").code == 0


def test_unknown_stream_and_tenant(vdb_at: Vdb) -> None:
    assert vdb_at("read", "--stream", "nots", "--json").error["code"] == "UNKNOWN_STREAM"
    found = vdb_at("read", "--stream", "notes", "--tenant", "99", "--json")
    assert found.code == 1
    assert found.error["code"] == "UNKNOWN_TENANT"


def test_phi_without_a_region(vdb_at: Vdb) -> None:
    found = vdb_at("stream", "create", "--stream", "x", "--placement", "global")
    assert found.code == 1
    assert "PHI needs a region" in found.err


def test_status(vdb_at: Vdb) -> None:
    status = vdb_at("status", "--json").object
    assert {group["group"] for group in status["groups"]} == {"ap-southeast-2", "global"}
    text = vdb_at("status").out
    assert "node-1 in ap-southeast-2" in text
    assert "\tcheckpoint\tposition\ttenants\t" in text
    assert vdb_at("projection", "status").code == 0
    for projection in vdb_at("projection", "status", "--json").objects:
        assert projection["error"] is None


def test_version_and_help(run_here: Vdb) -> None:
    version = run_here("version").out.strip()
    assert run_here("version", "--json").object == {"version": version}
    commands = [
        ["start"],
        ["stream", "create"],
        ["stream", "list"],
        ["stream", "show"],
        ["publish"],
        ["read"],
        ["status"],
        ["projection", "status"],
        ["projection", "rows"],
        ["import", "fhir"],
        ["demo"],
        ["version"],
    ]
    for command in commands:
        found = run_here(*command, "--help")
        assert found.code == 0
        assert "Example" in found.out, command
        assert "--json" in found.out, command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["publish", "--stream", "notes"], "expected either --payload or --stdin"),
        (["read"], "expected either --stream, or --group"),
        (["read", "--stream", "notes", "--position", "3"], "with --stream, expected --from OFFSET"),
        (["read", "--stream", "notes", "--position", "r:3"], "with --stream, expected --from OFFSET"),
        (["read", "--stream", "notes", "--limit", "-1"], "--limit is 0 or more; found -1"),
        (["read", "--position", "x:y"], "a position reads GROUP:NUMBER"),
        (["bogus"], "bogus"),
        (["status", "--address", "nowhere"], "an address reads HOST:PORT"),
        (["projection", "rows", "--projection", "x", "--where", "y"], "--where reads COLUMN=TEXT"),
    ],
)
def test_bad_usage(run_here: Vdb, arguments: list[str], message: str) -> None:
    found = run_here(*arguments)
    assert found.code == 2
    assert message in found.err
    assert "Traceback" not in found.err


def test_no_node_at_the_address(run_here: Vdb, free_tcp_port: int) -> None:
    found = run_here("status", "--address", f"127.0.0.1:{free_tcp_port}", "--json")
    assert found.code == 1
    assert found.error["code"] == "UNREACHABLE"
    assert found.error["definite"] is True


def test_importing_fhir_twice(vdb_at: Vdb, tmp_path: Path) -> None:
    patients = [{"resourceType": "Patient", "id": f"p{n}", "birthDate": "1970-01-01"} for n in range(3)]
    (tmp_path / "Patient.ndjson").write_text("".join(json.dumps(patient) + "\n" for patient in patients) + "{bad\n")
    rooms = [{"resourceType": "Location", "id": "l1", "name": "Ward"}]
    (tmp_path / "Location.ndjson").write_text("".join(json.dumps(room) + "\n" for room in rooms))
    (tmp_path / "Condition.ndjson.gz").write_bytes(b"packed")
    first = vdb_at("import", "fhir", str(tmp_path), "--json")
    assert first.code == 1, first.err
    assert {key: first.object[key] for key in ("resources", "appended", "duplicates", "rejected")} == {
        "resources": 4,
        "appended": 4,
        "duplicates": 0,
        "rejected": 1,
    }
    assert first.object["skipped_files"] == ["Condition.ndjson.gz"]
    assert "Patient.ndjson:4: " in first.err
    second = vdb_at("import", "fhir", str(tmp_path))
    assert second.out.strip() == "4 resources, 0 appended, 4 duplicates, 1 rejected"
    assert "Condition.ndjson.gz: passed over, it is packed; unpack it first\n" in second.err
    (tmp_path / "Patient.ndjson").unlink()
    assert vdb_at("import", "fhir", str(tmp_path)).code == 0


def test_nothing_to_import(run_here: Vdb, tmp_path: Path) -> None:
    found = run_here("import", "fhir", str(tmp_path / "none"))
    assert found.code == 2
    assert "isn't a directory with *.ndjson files" in found.err
    (tmp_path / "Patient.ndjson.gz").write_bytes(b"packed")
    found = run_here("import", "fhir", str(tmp_path))
    assert found.code == 2
    assert "only packed ones such as Patient.ndjson.gz: unpack them first" in found.err
