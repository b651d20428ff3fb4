"""Exports in one file: no byte of the archive can be changed, and none put into it, before it or behind it."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pytest

from vdb.cli.archiving import pack
from vdb.verifier.archive import Archive
from vdb.verifier.bundle import Export
from vdb.verifier.faults import Fault

PLACES = 500


@pytest.fixture(scope="module")
def packed(selection: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("export")
    for name, data in selection.files.items():
        (folder / "all" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "all" / name).write_bytes(data)
    pack(folder / "all", folder / "all.zip")
    assert (folder / "all.zip").stat().st_mode & 0o777 == 0o600
    return (folder / "all.zip").read_bytes()


def check(path: Path, data: bytes) -> Any:
    path.write_bytes(data)
    archive = Archive(path)
    return Export(archive.names, archive.read).verify([], [], None)


def test_it_is_an_archive_like_any_other(packed: bytes, selection: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(BytesIO(packed)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == selection.files
    assert check(tmp_path / "a.zip", packed).withheld == 2


def test_no_byte_of_it_can_be_changed(packed: bytes, tmp_path: Path) -> None:
    chance = Random(1)
    directory = packed.index(b"PK\1\2")
    begins = [at for at in range(directory) if packed.startswith(b"PK\3\4", at)]
    headers = [at + more for at in (*begins[:3], begins[-1]) for more in range(46)]
    places = [*headers, *range(directory, len(packed)), *chance.sample(range(directory), PLACES)]
    for place in places:
        changed = bytearray(packed)
        changed[place] ^= 1 << chance.randrange(8)
        with pytest.raises(Fault) as failure:
            check(tmp_path / "a.zip", bytes(changed))
        assert failure.value.file, f"byte {place}: {failure.value}"
        assert len(failure.value.what) > 10


def test_nothing_can_be_put_into_it_or_cut_off(packed: bytes, tmp_path: Path) -> None:
    directory = packed.index(b"PK\1\2")
    for changed in (
        b"x" + packed,
        packed + b"x",
        packed + packed,
        packed[:directory] + b"x" + packed[directory:],
        packed[:-1],
        packed[1:],
        packed[:100],
        b"",
    ):
        with pytest.raises(Fault, match=r"a\.zip: .*unpack it yourself, and verify the directory"):
            check(tmp_path / "a.zip", changed)


def test_a_name_stands_in_it_once(packed: bytes, tmp_path: Path) -> None:
    with pytest.raises(Fault, match="stands twice in it"):
        check(tmp_path / "a.zip", packed.replace(b"keys/log.vkey", b"manifest.json"))


def test_what_another_program_has_packed_is_told_how_it_can_be_verified(selection: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, data in selection.files.items():
            archive.writestr(name, data)
    with pytest.raises(Fault, match="if another program has packed it"):
        Archive(tmp_path / "a.zip")


def test_bits_that_deflate_leaves_unused_count_as_well(packed: bytes, tmp_path: Path) -> None:
    """All bits of the bytes in which packed files end."""
    with zipfile.ZipFile(BytesIO(packed)) as archive:
        ends = [one.header_offset + 30 + len(one.filename) + one.compress_size for one in archive.infolist()]
    for end in ends:
        for bit in range(8):
            changed = bytearray(packed)
            changed[end - 1] ^= 1 << bit
            with pytest.raises(Fault):
                check(tmp_path / "a.zip", bytes(changed))
