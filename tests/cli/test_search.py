"""The demo's search finds what is there, across the borders of what it reads at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from vdb.cli.demo import checks


def test_search_finds_words_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_CHUNK", 8)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.bin").write_bytes(b"01234" + b"needle" + b"9" * 20)
    (tmp_path / "b.bin").write_bytes(b"needl" + b"e" * 3)
    (tmp_path / "c.bin").write_bytes(b"nothing")
    found = checks.search(tmp_path, {"n": b"needle", "o": b"absent"})
    assert found.files == 3
    assert found.bytes == 31 + 8 + 7
    assert found.hits == {"n": [tmp_path / "b.bin", tmp_path / "sub" / "a.bin"], "o": []}
