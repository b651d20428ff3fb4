"""Without a placement, streams lie in the region of the node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Vdb = Callable[..., Any]


@pytest.fixture(scope="module")
def node(start_node: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A node in another region than most examples."""
    return start_node(tmp_path_factory.mktemp("europe"), "--region", "eu-west-1")


def test_creating_a_stream(vdb_at: Vdb) -> None:
    found = vdb_at("stream", "create", "--stream", "notes")
    assert (found.code, found.out) == (0, "created: notes (phi, eu-west-1)\n")
    again = vdb_at("stream", "create", "--stream", "notes", "--if-not-exists", "--json")
    assert again.object["placement"] == "eu-west-1"


def test_importing(vdb_at: Vdb, tmp_path: Path) -> None:
    (tmp_path / "Patient.ndjson").write_text('{"resourceType": "Patient", "id": "p"}\n')
    (tmp_path / "Location.ndjson").write_text('{"resourceType": "Location", "id": "l"}\n')
    found = vdb_at("import", "fhir", str(tmp_path))
    assert found.code == 0, found.err
    assert vdb_at("stream", "show", "--stream", "fhir.Patient", "--json").object["placement"] == "eu-west-1"
    assert vdb_at("stream", "show", "--stream", "fhir.Location", "--json").object["placement"] == "global"
