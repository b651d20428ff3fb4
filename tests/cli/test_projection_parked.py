"""`vdb projection parked|retry|drop`: events that a projection passed over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vdb
from vdb.wire.event import ENVELOPE_SCHEMA, EventEnvelope, encode_envelope
from vdb.world.keys import generate_root_key

Vdb = Callable[..., Any]

MODELS = """
from pathlib import Path
import vdb

BEDS = vdb.Table("beds", columns={"bed": "text"}, key="bed")
beds = vdb.Projection("beds", streams=["wards"], tables=[BEDS], on_error="park")

@beds.on("bed-seen")
def seen(event, context):
    body = event if isinstance(event, dict) else event.json()
    if body["bed"] == "bad" and not (Path(__file__).parent / "mended").exists():
        raise ValueError("bad")
    context.db.execute("INSERT INTO beds VALUES (?) ON CONFLICT DO NOTHING", (body["bed"],))
"""
CONFIG = """
projections = ["models_that_park:beds"]
builtin-projections = []
[node]
region = "ap-southeast-2"
data-dir = "data"
key-file = "root.key"
[limits]
message-size-max = 65536
wal-slots = 96
checkpoint-interval = 64
"""
PARKED = ("projection", "parked", "--projection", "beds")


@pytest.fixture(scope="module")
def node(start_node: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A node with a projection of its own, of Python functions."""
    folder = tmp_path_factory.mktemp("beds")
    (folder / "models_that_park.py").write_text(MODELS)
    config, key = folder / "node.toml", folder / "root.key"
    config.write_text(CONFIG)
    key.touch(mode=0o600)
    key.write_text(generate_root_key())
    return start_node(folder, arguments=["start", "--config", str(config), "--address", "127.0.0.1:0"])


def publish(address: str, *beds: str) -> None:
    with vdb.connect_sync(address) as client:
        client.create_stream("wards", "phi", "ap-southeast-2", if_not_exists=True)
        for bed in beds:
            body = f'{{"bed": "{bed}"}}'.encode()
            envelope = EventEnvelope(event_id=b"i" * 16, type="bed-seen", version=1, time=0, subject=bed, body=body)
            position = client.publish("wards", encode_envelope(envelope), schema_id=ENVELOPE_SCHEMA).position
        assert client.wait_for("beds", position)


def test_parked_tried_again_and_dropped(vdb_at: Vdb, node: Any) -> None:
    publish(node.address, "a")
    assert vdb_at(*PARKED).out == "projection 'beds' has passed over no event\n"
    publish(node.address, "bad", "b", "bad")
    table = vdb_at(*PARKED).out.splitlines()
    assert table[0] == "position\tstream\ttype\tstate\tattempts\twaiting\tkey\terror"
    assert table[1] == "ap-southeast-2:2\twards\tbed-seen\tparked\t1\t1\tbad\tValueError"
    assert len(table) == 2
    status = vdb_at("projection", "status")
    assert "beds of tenant 1: 2 events parked, 0 skipped: see `vdb projection parked --projection beds`" in status.out
    again = vdb_at("projection", "retry", "--projection", "beds")
    assert (again.code, again.out) == (1, "no event was applied\n")
    assert again.err == "note: 1 failed again, the first at ap-southeast-2:2: ValueError\n"
    assert vdb_at(*PARKED, "--json").object["attempts"] == 2
    dropped = vdb_at("projection", "drop", "--projection", "beds", "--position", "ap-southeast-2:2", "--json")
    assert dropped.object == {"projection": "beds", "dropped": 1}
    assert [one["skipped"] for one in vdb_at(*PARKED, "--json").objects] == [True, False]
    assert vdb_at(*PARKED, "--limit", "1").err == "note: 1 events shown, there are more: use --limit\n"
    (Path(node.directory) / "mended").touch()
    mended = vdb_at("projection", "retry", "--projection", "beds")
    assert (mended.code, mended.out, mended.err) == (0, "1 events applied\n", "")
    rows = vdb_at("projection", "rows", "--projection", "beds", "--json").objects
    assert [row["bed"] for row in rows] == ["a", "b", "bad"]
    wrong = vdb_at("projection", "retry", "--projection", "beds", "--position", "ap-southeast-2:1")
    assert "projection 'beds' has no parked event at ap-southeast-2:1" in wrong.err
