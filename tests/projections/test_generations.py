"""The pointer and the files behind it, on the real and the simulated disk's rules: one write says what is in use."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdb.projections.generations import Generation, GenerationFiles, Pointer, _decode, _encode
from vdb.types import TenantId
from vdb.world.disk import RealDisk

TENANT = TenantId(1)
GENERATIONS = st.none() | st.builds(Generation, st.integers(1, 99), st.integers(1, 9))
POINTERS = st.builds(
    Pointer,
    current=GENERATIONS,
    building=GENERATIONS,
    previous=GENERATIONS,
    hold=st.booleans(),
    declined=st.integers(0, 9),
    last=st.integers(1, 99),
)


def make_files(root: Path) -> GenerationFiles:
    return GenerationFiles(RealDisk(root), TENANT, "days")


def touch(root: Path, *names: str) -> None:
    folder = root / "projections" / "t_1"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")


def names(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "projections" / "t_1").iterdir())


def test_a_life_of_generations() -> None:
    pointer = Pointer.first(1).begun(2, hold=True)
    assert (pointer.current, pointer.building, pointer.hold) == (Generation(1, 1), Generation(2, 2), True)
    pointer = pointer.begun(2, hold=False)
    assert (pointer.building, pointer.last, pointer.named) == (Generation(3, 2), 3, (1, 3))
    pointer = pointer.switched()
    assert (pointer.current, pointer.building, pointer.previous) == (Generation(3, 2), None, Generation(1, 1))
    pointer = pointer.switched_back()
    assert (pointer.current, pointer.previous, pointer.declined) == (Generation(1, 1), Generation(3, 2), 2)
    pointer = pointer.switched_back()
    assert (pointer.current, pointer.previous, pointer.declined) == (Generation(3, 2), Generation(1, 1), 2)


def test_without_rows_in_use_the_previous_ones_stay() -> None:
    pointer = Pointer(current=None, previous=Generation(2, 1), last=4).begun(1, hold=False).switched()
    assert (pointer.current, pointer.previous) == (Generation(5, 1), Generation(2, 1))


@given(POINTERS)
def test_it_is_read_as_it_was_written(pointer: Pointer) -> None:
    assert _decode(_encode(pointer)) == pointer


@settings(max_examples=60)
@given(POINTERS, st.data())
def test_a_flipped_bit_is_found(pointer: Pointer, data: st.DataObject) -> None:
    content = bytearray(_encode(pointer))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 6))
    assert _decode(bytes(content)) in (None, pointer)


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{}", b"\xff", b'{"checksum": ""}'])
def test_what_is_no_pointer_is_none(content: bytes) -> None:
    assert _decode(content) is None


async def test_files_of_the_old_layout_are_the_first_generation(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    assert await files.load() is None
    touch(tmp_path, "days.db", "days.db-wal", "days.db.damaged", "days_more.7.db", "days_more.generations")
    assert await files.load() is None
    assert [files.path(number) for number in (1, 2)] == ["projections/t_1/days.db", "projections/t_1/days.2.db"]


async def test_what_is_stored_is_loaded(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    for pointer in (Pointer.first(1).begun(2, hold=True), Pointer.first(3)):
        await files.store(pointer)
        assert await files.load() == pointer
    assert names(tmp_path) == ["days.generations"]


async def test_files_that_are_not_named_are_removed(tmp_path: Path) -> None:
    touch(tmp_path, "days.db", "days.db-wal", "days.db-shm", "days.2.db", "days.3.db", "days.3.db.damaged")
    touch(tmp_path, "days_more.9.db", "other.db", "days.9.db")
    files = make_files(tmp_path)
    await files.tidy(Pointer(current=Generation(2, 1), last=9))
    assert names(tmp_path) == ["days.2.db", "days_more.9.db", "other.db"]


@pytest.mark.parametrize("content", [None, b"damaged"])
async def test_a_lost_or_damaged_pointer_names_no_rows(tmp_path: Path, content: bytes | None) -> None:
    touch(tmp_path, "days.db", "days.4.db")
    if content is not None:
        (tmp_path / "projections" / "t_1" / "days.generations").write_bytes(content)
    assert await make_files(tmp_path).load() == Pointer(current=None, last=4)
