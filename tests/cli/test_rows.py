"""`vdb projection rows`: what it says when rows are cut, or when their projection has stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import vdb
from vdb.wire.event import ENVELOPE_SCHEMA, EventEnvelope, encode_envelope

Vdb = Callable[..., Any]

BEDS = """
[[projection]]
name = "beds"
streams = ["wards"]
[projection.latest-by-id]
key = "bed"
columns = { ward = "ward" }
"""


@pytest.fixture(scope="module")
def node(start_node: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A node with a projection of its own."""
    return start_node(tmp_path_factory.mktemp("beds"), config=BEDS)


def publish(address: str, body: str) -> None:
    envelope = EventEnvelope(event_id=b"i" * 16, type="bed-seen", version=1, time=0, body=body.encode())
    with vdb.connect_sync(address) as client:
        client.create_stream("wards", "phi", "ap-southeast-2", if_not_exists=True)
        client.publish("wards", encode_envelope(envelope), schema_id=ENVELOPE_SCHEMA)


def test_rows_that_are_cut_and_a_projection_that_has_stopped(vdb_at: Vdb, node: Any) -> None:
    for bed in "abc":
        publish(node.address, f'{{"bed": "{bed}", "ward": "w"}}')
    rows = ("projection", "rows", "--projection", "beds")
    found = vdb_at(*rows)
    assert (found.code, found.err) == (0, "")
    assert found.out.splitlines() == ["bed\tward", "a\tw", "b\tw", "c\tw"]
    cut = vdb_at(*rows, "--limit", "2", "--order-by", "-bed", "--json")
    assert [row["bed"] for row in cut.objects] == ["c", "b"]
    assert cut.err == "note: 2 rows shown, there are more: use --limit\n"
    assert vdb_at(*rows, "--limit", "3").err == ""
    assert vdb_at(*rows, "--limit", "10000").err == ""

    publish(node.address, '{"ward": "w"}')
    for wait in ("10", "0"):
        stopped = vdb_at(*rows, "--wait", wait, "--json")
        assert stopped.code == 0
        assert len(stopped.objects) == 3
        assert stopped.err.startswith("note: projection 'beds' has stopped: at position ap-southeast-2:4 (")
        assert stopped.err.endswith("; these rows end there\n")
        assert "behind" not in stopped.err


@pytest.mark.parametrize("limit", ["0", "-1", "10001"])
def test_a_limit_out_of_bounds(run_here: Vdb, limit: str) -> None:
    found = run_here("projection", "rows", "--projection", "p", "--limit", limit)
    assert found.code == 2
    assert f"--limit lies between 1 and 10000; found {limit}" in found.err
