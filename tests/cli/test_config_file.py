"""The configuration file is strict, and its errors name the file and the key."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vdb.cli.config_file import read_config_file
from vdb.errors import ConfigError
from vdb.limits import Limits


def write(path: Path, text: str) -> Path:
    file = path / "node.toml"
    file.write_text(text)
    return file


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    config = read_config_file(write(tmp_path, ""))
    assert config.limits_value() == Limits()
    assert {projection.name for projection in config.projections()} == {
        "notes_current",
        "appointments_current",
        "patient_timeline",
    }


def test_everything(tmp_path: Path) -> None:
    config = read_config_file(
        write(
            tmp_path,
            """
            builtin-projections = []
            [node]
            name = "n"
            region = "eu-west-1"
            data-dir = "d"
            address = "127.0.0.1:0"
            key-file = "k"
            scrub-period-days = 1.5
            connections-max = 5
            [tls]
            cert = "c"
            key = "k"
            ca = "a"
            [limits]
            message-size-max = 65536
            [[projection]]
            name = "beds"
            streams = ["wards", "beds.*"]
            [projection.latest-by-id]
            key = "bed_id"
            columns = { ward = "ward" }
            """,
        )
    )
    assert config.node.scrub_period_days == 1.5
    assert config.limits_value().message_size_max == 65536
    assert [projection.name for projection in config.projections()] == ["beds"]
    assert config.tls is not None


def test_projections_of_modules_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "read_models_of_a_test.py").write_text(
        """
import vdb

TABLE = vdb.Table("seen", columns={"id": "text"}, key="id")
seen = vdb.TableProjection("seen", TABLE, streams=("a",)).map("thing-seen")
both = [seen, vdb.TableProjection("more", TABLE, streams=("b",)).map("thing-seen")]
nothing = 7
"""
    )
    text = 'builtin-projections = []\nprojections = ["read_models_of_a_test:{}"]'
    found = read_config_file(write(tmp_path, text.format("both"))).projections()
    assert [projection.name for projection in found] == ["seen", "more"]
    with pytest.raises(ConfigError, match=r"node.toml: expected projections .* found int"):
        read_config_file(write(tmp_path, text.format("nothing")))
    with pytest.raises(ConfigError, match="read_models_of_a_test has no attribute 'gone'"):
        read_config_file(write(tmp_path, text.format("gone")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[node]\nregoin = 'x'", r"unknown field `regoin` - at `\$\.node`"),
        ("[nodes]\n", "unknown field `nodes`"),
        ("[node]\nname = 3", r"Expected `str \| null`, got `int` - at `\$\.node\.name`"),
        ("[limits]\nwal_slots = 3", r"unknown key `wal_slots` - at `\$\.limits`"),
        (
            "[limits]\nwal-slots = 3",
            r"the values of \[limits\] don't go together: wal-slots: expected at least checkpoint-interval \+ "
            r"2 \* pipeline-max \(136\), found 3$",
        ),
        ("[limits]\nread-bytes-max = 1", "read-bytes-max: expected at least 4096, found 1$"),
        ("builtin-projections = ['other']", "builtin-projections"),
        ("[tls]\ncert = 'x'", "missing required field `key`"),
        ("[[projection]]\nname = 'x'\nstreams = ['y']\nbogus = 1", "unknown field `bogus`"),
        ("[node\n", "isn't TOML"),
    ],
)
def test_errors_name_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_config_file(file)
    assert str(caught.value).startswith(str(file))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml can't be read: No such file or directory"):
        read_config_file(tmp_path / "none.toml")
