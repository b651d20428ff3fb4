"""The checkpoint store against a dict: deltas, rotation, crashes between steps, damage, and what it costs."""

from __future__ import annotations

import contextlib
from hashlib import sha256
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from vdb.errors import DamagedData, DiskFull, ForeignData, NewerFormat, OlderFormat
from vdb.kernel.tables import Table
from vdb.storage import checkpoint_family
from vdb.storage.checkpoint import CheckpointStore
from vdb.storage.checkpoint_files import SLOTS

GROUP = b"g" * 32
FOLDER = "g/checkpoints"

Rows = dict[int, dict[bytes, bytes]]


async def open_store(disk: Any) -> CheckpointStore:
    return await CheckpointStore.open(disk, "g", group_hash=GROUP)


def apply_changes(rows: Rows, changed: dict[int, dict[bytes, bytes | None]]) -> None:
    for table, some in changed.items():
        for key, value in some.items():
            if value is None:
                rows.setdefault(table, {}).pop(key, None)
            else:
                rows.setdefault(table, {})[key] = value


def without_empty(rows: Any) -> Rows:
    return {table: some for table, some in rows.items() if some}


CHANGES = st.fixed_dictionaries(
    {1: st.just({b"meta": b"x"})},
    optional={
        2: st.dictionaries(
            st.integers(0, 300).map(lambda n: n.to_bytes(8, "big")), st.none() | st.binary(max_size=3), max_size=60
        ),
        3: st.dictionaries(st.binary(max_size=4), st.none() | st.binary(min_size=8, max_size=8), max_size=5),
        int(Table.KEYS): st.dictionaries(st.binary(min_size=2, max_size=2), st.none() | st.just(b"k"), max_size=4),
    },
)


@settings(max_examples=60)
@given(
    steps=st.lists(st.tuples(CHANGES, st.none() | st.integers(0, 16), st.booleans()), min_size=1, max_size=25),
    verdict=st.sampled_from(["keep", "drop", "left", "garbage"]),
    names=st.booleans(),
    rows_min=st.sampled_from([1, 20]),
)
def test_the_store_is_a_dict_across_crashes(
    new_disk: Any,
    crashed: Any,
    steps: list[tuple[dict[int, dict[bytes, bytes | None]], int | None, bool]],
    verdict: str,
    names: bool,
    rows_min: int,
) -> None:
    """Each step writes a checkpoint, crashes in the middle of it or just after, or reopens; the named one is whole."""

    async def run() -> None:
        disk = new_disk()
        store, rows, named = await open_store(disk), {}, (0, b"")
        for number, (changed, stop, reopen) in enumerate(steps, start=1):
            disk.changes, disk.stop_after = 0, stop
            try:
                checkpoint_id = await store.write(number, changed)
                named = (number, checkpoint_id)
                apply_changes(rows, changed)
                await store.prune(number)
            except crashed:
                reopen = True
            disk.stop_after = None
            if reopen:
                disk = disk.crash(lambda _path, _index, _count: verdict, keep_names=names)
                disk.dead = False
                store = await open_store(disk)
                assert without_empty(await store.load(*named)) == without_empty(rows)
                assert await disk.list(FOLDER) == sorted(path.split("/")[-1] for path, _size, _id in store.files())
        assert without_empty(await (await open_store(disk.crash())).load(*named)) == without_empty(rows)

    before = checkpoint_family.SLOT_ROWS_MIN
    checkpoint_family.SLOT_ROWS_MIN = rows_min
    try:
        trio.run(run)
    finally:
        checkpoint_family.SLOT_ROWS_MIN = before


def some_rows(first: int, count: int, value: bytes = b"v") -> dict[bytes, bytes | None]:
    return {number.to_bytes(8, "big"): value * 24 for number in range(first, first + count)}


async def test_the_bytes_are_a_function_of_the_changes(new_disk: Any) -> None:
    """A replica that restarts between checkpoints writes the same bytes as one that doesn't."""
    one, two = new_disk(), new_disk()
    steady = await open_store(one)
    named = (0, b"")
    for op in range(1, 30):
        changed = {2: some_rows(op * 37 % 500, 70, bytes([op])), int(Table.KEYS): some_rows(op, op % 3)}
        first = await steady.write(op, changed)
        restarted = await open_store(two)
        await restarted.load(*named)
        assert await restarted.write(op, changed) == first
        await restarted.prune(op)
        await steady.prune(op)
        named = (op, first)
    names = await one.list(FOLDER)
    assert names == await two.list(FOLDER)
    assert all(one.data(f"{FOLDER}/{name}") == two.data(f"{FOLDER}/{name}") for name in names)


async def test_a_checkpoint_costs_what_changed(new_disk: Any) -> None:
    """With 50,000 idle rows a checkpoint of 500 writes about what it writes with 500 in all, and files stay bounded."""
    sizes = []
    for idle in (0, 50_000):
        disk = new_disk()
        store = await open_store(disk)
        await store.write(1, {2: some_rows(0, idle + 500)})
        await store.prune(1)
        written = []
        for op in range(2, 302):
            before = disk.written
            checkpoint_id = await store.write(op, {2: some_rows((op * 500) % (idle + 500), 500, bytes([op % 256]))})
            await store.prune(op)
            written.append(disk.written - before)
        sizes.append(sorted(written)[len(written) // 2])
        live = sum(size for _path, size, _digest in store.files() if size > 0)
        assert live < 4 * (idle + 500) * 32 + 50_000
        loaded = await (await open_store(disk.crash())).load(301, checkpoint_id)
        assert len(loaded[2]) == idle + 500
    assert sizes[1] < 2 * sizes[0]


async def test_large_rows_fill_sections_of_their_own(new_disk: Any) -> None:
    """Parts of transactions: a section is encoded at one go, so it holds about a mebibyte, whatever the rows."""
    disk = new_disk()
    store = await open_store(disk)
    large = {number.to_bytes(8, "big"): bytes([number]) * 400_000 for number in range(40)}
    checkpoint_id = await store.write(1, {int(Table.PARTS): large, 2: some_rows(0, 3000)})
    sections = [section for family in store._families for file in family.sections.values() for section in file]
    assert max(section.size for section in sections) < 2 * checkpoint_family.BLOCK_BYTES
    assert await (await open_store(disk.crash())).load(1, checkpoint_id) == {
        int(Table.PARTS): large,
        2: some_rows(0, 3000),
    }
    checkpoint_id = await store.write(2, {int(Table.PARTS): dict.fromkeys(large)})
    loaded = await (await open_store(disk.crash())).load(2, checkpoint_id)
    assert without_empty(loaded) == {2: some_rows(0, 3000)}


async def test_keys_lie_apart(new_disk: Any) -> None:
    disk = new_disk()
    store = await open_store(disk)
    await store.write(1, {2: {b"row": b"in the clear"}, int(Table.KEYS): {b"dek": b"wrapped-key"}})
    await store.write(2, {2: {b"row": b"changed"}})
    assert await disk.list(FOLDER) == [
        "checkpoint-0000000000000001",
        "checkpoint-0000000000000002",
        "keys-0000000000000001",
        "state-0000000000000001",
        "state-0000000000000002",
    ]
    for name in await disk.list(FOLDER):
        assert (b"wrapped-key" in disk.data(f"{FOLDER}/{name}")) == name.startswith("keys-")
    await store.prune(2)
    assert "checkpoint-0000000000000001" not in await disk.list(FOLDER)


async def filled(new_disk: Any) -> tuple[Any, bytes]:
    disk = new_disk()
    store = await open_store(disk)
    await store.write(1, {2: some_rows(0, 3000)})
    checkpoint_id = await store.write(2, {2: some_rows(0, 100)})
    await store.prune(2)
    return disk, checkpoint_id


@given(name=st.integers(0, 2), at=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_damage_is_named_and_nothing_is_served(new_disk: Any, name: int, at: int, flip: int) -> None:
    async def run() -> None:
        disk, checkpoint_id = await filled(new_disk)
        path = f"{FOLDER}/{(await disk.list(FOLDER))[name]}"
        disk.damage(path, at % len(disk.data(path)), flip)
        with pytest.raises((DamagedData, ForeignData, NewerFormat), match=path):
            await (await open_store(disk)).load(2, checkpoint_id)

    trio.run(run)


async def test_missing_and_short_files_are_named(new_disk: Any) -> None:
    for name in ("checkpoint-0000000000000002", "state-0000000000000002", "state-0000000000000001"):
        disk, checkpoint_id = await filled(new_disk)
        del disk.data(f"{FOLDER}/{name}")[100:]
        with pytest.raises(DamagedData, match=name):
            await (await open_store(disk)).load(2, checkpoint_id)
        await disk.remove(f"{FOLDER}/{name}")
        with pytest.raises(DamagedData, match=f"{name}: .* is missing"):
            await (await open_store(disk)).load(2, checkpoint_id)


async def test_a_checkpoint_of_a_newer_format_or_another_group(new_disk: Any) -> None:
    disk, checkpoint_id = await filled(new_disk)
    other = await CheckpointStore.open(disk, "g", group_hash=b"h" * 32)
    with pytest.raises(ForeignData, match="checkpoint-0000000000000002: expected a checkpoint of group 6868"):
        await other.load(2, checkpoint_id)
    path = f"{FOLDER}/checkpoint-0000000000000002"
    disk.data(path)[9] = 4
    with pytest.raises(NewerFormat, match="has format version 4; this program reads versions up to 2"):
        await (await open_store(disk)).load(2, sha256(disk.data(path)).digest())


async def test_a_checkpoint_of_an_older_format(new_disk: Any) -> None:
    disk, _ = await filled(new_disk)
    path = f"{FOLDER}/checkpoint-0000000000000002"
    disk.data(path)[9] = 1
    with pytest.raises(OlderFormat, match="has format version 1; this program reads 2: export the data"):
        await (await open_store(disk)).load(2, sha256(disk.data(path)).digest())


async def test_damage_met_while_rewriting_a_base_is_named(new_disk: Any) -> None:
    disk, checkpoint_id = await filled(new_disk)
    store = await open_store(disk)
    await store.load(2, checkpoint_id)
    path = f"{FOLDER}/state-0000000000000001"
    for at in range(len(disk.data(path)) // 2, len(disk.data(path)), 500):
        disk.damage(path, at)

    async def turn_round() -> None:
        for op in range(3, 60):
            await store.write(op, {2: some_rows(0, 100)})

    with pytest.raises(DamagedData, match=path):
        await turn_round()


async def test_a_full_disk_can_be_tried_again(new_disk: Any) -> None:
    disk, checkpoint_id = await filled(new_disk)
    store = await open_store(disk)
    rows = await store.load(2, checkpoint_id)
    disk.full = True
    with pytest.raises(DiskFull):
        await store.write(3, {2: some_rows(5000, 10)})
    disk.full = False
    again = await store.write(3, {2: some_rows(5000, 10)})
    loaded = await (await open_store(disk.crash())).load(3, again)
    assert loaded[2] == rows[2] | some_rows(5000, 10)


async def test_nothing_named_is_nothing_kept(new_disk: Any) -> None:
    disk, _checkpoint_id = await filled(new_disk)
    assert await (await open_store(disk)).load(0, b"") == {}
    assert await disk.list(FOLDER) == []


def test_slots_divide_the_manifest() -> None:
    assert SLOTS <= 65535
    with contextlib.suppress(StopIteration):
        assert list(checkpoint_family._cut_at_slots(range(3), {0: {}, 1: {}, 2: {}})) == [range(3)]
