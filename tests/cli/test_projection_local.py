"""`vdb projection init|run|replay`: a configuration file, and a data directory that no node uses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vdb
from vdb.projections.config import ProjectionConfig
from vdb.projections.latest import LatestById
from vdb.world.keys import generate_root_key

RunVdb = Callable[..., Any]

CONFIG = """
builtin-projections = []
[node]
region = "ap-southeast-2"
data-dir = "data"
key-file = "root.key"
[[projection]]
name = "beds"
version = {version}
streams = ["wards"]
[projection.latest-by-id]
key = "bed"
payload = "json"
columns = {{ ward = "{path}" }}
"""
UNSTABLE = """
import itertools
import vdb
from vdb.projections.config import ProjectionConfig
from vdb.projections.handler import Handlers
from vdb.projections.tables import Column, Table

count = itertools.count()

def seen(db, event, context):
    db.execute("INSERT INTO seen VALUES (?)", (str(next(count)),))

handlers = Handlers(tables=(Table(name="seen", columns=(Column("at"),), key=("at",)),), handlers={"": seen})
unstable = ProjectionConfig(name="unstable", streams=["wards"], template=handlers)
"""


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """A folder with a configuration, a key and a data directory with nine beds."""
    write_config(tmp_path)
    key = tmp_path / "root.key"
    key.touch(mode=0o600)
    key.write_text(generate_root_key())
    beds = LatestById(table="beds", key="bed", key_path="bed", columns={"ward": "ward"}, payload="json")
    with vdb.open(
        tmp_path / "data", str(key), projections=[ProjectionConfig(name="beds", streams=["wards"], template=beds)]
    ) as database:
        database.create_stream("wards")
        payloads = [json.dumps({"bed": f"b{number}", "ward": "w", "room": "r"}).encode() for number in range(9)]
        published = database.publish("wards", payloads)
        assert database.wait_for("beds", published.position)
    return tmp_path / "node.toml"


def write_config(folder: Path, version: int = 1, path: str = "ward", more: str = "") -> None:
    (folder / "node.toml").write_text(more + CONFIG.format(version=version, path=path))


def test_init_writes_an_example_and_checks_what_is_there(run_here: RunVdb, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    made = run_here("projection", "init", "--config", str(config))
    assert made.code == 0
    assert made.out.startswith(f"{config} has an example: change it,")
    assert "beds\t1\tall\twards beds.*\tbeds" in made.out.splitlines()
    again = run_here("projection", "init", "--config", str(config))
    assert again.out.splitlines()[0] == f"{config} is fine"
    assert run_here("projection", "init", "--config", str(config), "--json").objects[-1] == {
        "projection": "beds", "version": 1, "tenant": None, "streams": ["wards", "beds.*"], "tables": ["beds"],
    }  # fmt: skip
    config.write_text(config.read_text().replace("streams", "stream"))
    wrong = run_here("projection", "init", "--config", str(config))
    assert wrong.code == 2
    assert "unknown field `stream`" in wrong.err


def test_run_builds_a_raised_version(run_here: RunVdb, clinic: Path) -> None:
    ran = run_here("projection", "run", "--config", str(clinic))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[1].split("\t")[:4] == ["beds", "1", "1", "1"]
    assert "all 1 have caught up after" in ran.out
    write_config(clinic.parent, version=2, path="room")
    ran = run_here("projection", "run", "--config", str(clinic), "--json")
    assert (ran.code, ran.object["version"], ran.object["generation"], ran.object["lag"]) == (0, 2, 2, 0)
    write_config(clinic.parent, version=3, path="room", more="")
    clinic.write_text(clinic.read_text().replace('key = "bed"', 'key = "bed"\nkey-path = "no"'))
    ran = run_here("projection", "run", "--config", str(clinic))
    assert ran.code == 1
    assert "1 of 1 projections can't go on" in ran.out
    assert "expected a value at no, found none" in ran.out


def test_replay_says_what_comes_out(run_here: RunVdb, clinic: Path) -> None:
    replay = ("projection", "replay", "--config", str(clinic), "--projection", "beds")
    found = run_here(*replay, "--twice")
    assert (found.code, found.err) == (0, "")
    lines = found.out.splitlines()
    assert lines[0].startswith("replayed 9 events of 'beds' version 1 in 0.")
    assert lines[0].endswith(" events/s), from the beginning")
    assert lines[3].startswith("beds\t9\t")
    assert lines[-2:] == ["two replays gave the same rows", "no row differs from those in use"]
    late = run_here(*replay, "--from", "ap-southeast-2:5", "--json").object
    assert (late["events"], late["tables"]["beds"]["rows"], late["differing_rows"]) == (5, 5, None)
    assert run_here(*replay, "--from", "2001-01-01T00:00:00Z", "--json").object["events"] == 9
    assert run_here(*replay, "--from", "2999-01-01T00:00:00Z", "--json").object["events"] == 0
    wrong = run_here(*replay, "--from", "x")
    assert wrong.err == "error: --from reads GROUP:NUMBER, or a time such as 2026-03-01T12:00:00Z; found 'x'\n"
    unknown = run_here(*replay[:-1], "bed")
    assert unknown.err == "error: the configuration has no projection 'bed'; it has 'beds'\n"
    assert sorted(path.name for path in (clinic.parent / "data/projections/t_1").iterdir()) == ["beds.db"]


def test_replay_finds_rows_that_depend_on_more_than_the_events(run_here: RunVdb, clinic: Path) -> None:
    (clinic.parent / "unstable_models.py").write_text(UNSTABLE)
    write_config(clinic.parent, more='projections = ["unstable_models:unstable"]\n')
    replay = ("projection", "replay", "--config", str(clinic), "--projection", "unstable")
    found = run_here(*replay, "--twice")
    assert found.code == 1
    assert "two replays gave different rows in seen: handlers depend on more than the events" in found.out
    assert "rows differ from those in use" in found.out
    told = run_here(*replay, "--json").object
    assert told["differing_rows"] > 0
    assert told["differences"][0]["table"] == "seen"


def test_a_directory_that_is_in_use_or_not_there(run_here: RunVdb, clinic: Path) -> None:
    with vdb.open(clinic.parent / "data", str(clinic.parent / "root.key")):
        used = run_here("projection", "run", "--config", str(clinic))
    assert used.code == 2
    assert "a node that runs has its projections run" in used.err
    missing = run_here("projection", "run", "--config", str(clinic), "--data-dir", str(clinic.parent / "none"))
    assert missing.err == f"error: there is no data directory {clinic.parent / 'none'}\n"
    assert not (clinic.parent / "none").exists()
