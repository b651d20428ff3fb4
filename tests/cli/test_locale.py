"""Output where the locale can't show every letter."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Vdb = Callable[..., Any]

ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}


def test_letters_beyond_the_locale_are_escaped(node: Any, run_vdb: Vdb) -> None:
    at = {"VDB_ADDRESS": node.address, **ASCII}
    assert run_vdb("stream", "create", "--stream", "wörds", env={"VDB_ADDRESS": node.address}).code == 0
    published = run_vdb("publish", "--stream", "wörds", "--payload", "grüße", env={**at, "PYTHONUTF8": "1"})
    assert (published.code, published.out) == (0, "w\\xf6rds: offset 0\n")
    text = run_vdb("read", "--stream", "wörds", env={**at, "PYTHONUTF8": "1"})
    assert text.code == 0
    assert text.out.startswith("w\\xf6rds\t0\t")
    found = run_vdb("read", "--stream", "wörds", "--json", env={**at, "PYTHONUTF8": "1"})
    assert found.object["stream"] == "wörds"
    assert found.out.isascii()


def test_errors_beyond_the_locale_are_escaped(node: Any, run_vdb: Vdb) -> None:
    at = {"VDB_ADDRESS": node.address, **ASCII}
    found = run_vdb("read", "--stream", "nö", env={**at, "PYTHONUTF8": "1"})
    assert found.code == 1
    assert "n\\xf6" in found.err
    assert "Traceback" not in found.err
    error = run_vdb("read", "--stream", "nö", "--json", env={**at, "PYTHONUTF8": "1"})
    assert "nö" in json.loads(error.err)["error"]["message"]
