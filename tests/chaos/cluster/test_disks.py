"""Disks of real nodes: bytes that flip in files of a stopped node, a data directory that is gone, a disk that fills."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import trio

import vdb

GROUP_FILES = ("wal", "checkpoints", "log", "superblock")


async def test_a_deleted_data_directory_comes_back_by_command_alone(cluster, under_load) -> None:
    """As an empty node of its old name it isn't let in; recovered, it holds everything again."""
    cluster.init(3)
    await trio.to_thread.run_sync(cluster.start, 0, 1, 2)

    async def wipe(load) -> None:
        primary = await trio.to_thread.run_sync(cluster.primary)
        lost = (primary + 1) % 3
        cluster.end(lost)
        shutil.rmtree(cluster.data_dir(lost))
        await load.wait_for(20)
        cluster.launch(lost)
        await trio.sleep(2)
        assert lost not in await trio.to_thread.run_sync(serving_numbers, cluster), "an empty disk was let in"
        cluster.end(lost)
        shutil.rmtree(cluster.data_dir(lost), ignore_errors=True)
        cluster.launch(lost, "--join")
        await trio.to_thread.run_sync(cluster.wait_ready, lost)
        await trio.to_thread.run_sync(cluster.vdb, "cluster", "recover", "--node", str(lost))
        await load.wait_for(20)
        # Now it counts: with another node gone, the two go on.
        other = next(number for number in (0, 1, 2) if number not in (primary, lost))
        cluster.end(other)
        await load.wait_for(20)
        cluster.start(other)

    await under_load(cluster, wipe)


@pytest.mark.chaos
async def test_flipped_bytes_are_repaired_while_serving(cluster, under_load) -> None:
    cluster.init(3)
    await trio.to_thread.run_sync(cluster.start, 0, 1, 2)
    draw = random.Random(7)

    async def rot(load) -> None:
        await load.wait_for(300)
        primary = await trio.to_thread.run_sync(cluster.primary)
        damaged = (primary + 2) % 3
        assert cluster.end(damaged, signal.SIGTERM) == 0
        for path in sorted((cluster.data_dir(damaged) / "groups").rglob("*")):
            if path.is_file() and path.stat().st_size > 0 and path.name != "superblock":
                flip(path, draw)
        cluster.start(damaged)
        await load.wait_for(50)
        # The damaged node carries the group with one other.
        cluster.end(primary)
        await load.wait_for(50)
        cluster.start(primary)

    await under_load(cluster, rot)


@pytest.mark.chaos
async def test_a_full_disk_of_a_backup_stops_nobody(cluster, under_load, tmp_path: Path) -> None:
    cluster.init(3)
    small = cluster.data_dir(2)
    small.mkdir(parents=True)
    if not mount_small(small):
        pytest.skip("a small disk needs the right to mount one")
    try:
        await trio.to_thread.run_sync(cluster.start, 0, 1, 2)

        async def fill(load) -> None:
            blocker = small / "blocker"
            with blocker.open("wb") as file:
                try:
                    while True:
                        file.write(bytes(65536))
                        file.flush()
                except OSError:
                    pass
            await load.wait_for(200)
            blocker.unlink()
            await load.wait_for(50)

        await under_load(cluster, fill)
        for number in list(cluster.processes):
            cluster.end(number)
    finally:
        unmount(small)


@pytest.mark.chaos
async def test_a_rotted_file_is_repaired_without_a_restart(cluster, under_load) -> None:
    """A bit flips under a running backup; whoever reads there gets what was written, and the file is whole again."""
    cluster.init(3)
    await trio.to_thread.run_sync(cluster.start, 0, 1, 2)
    draw = random.Random(11)

    async def rot(load) -> None:
        await load.wait_for(600)
        primary = await trio.to_thread.run_sync(cluster.primary)
        damaged = (primary + 1) % 3
        segments = sorted((cluster.data_dir(damaged) / "groups" / "ap-southeast-2" / "log").rglob("*.seg"))
        assert segments, "nothing has reached a segment yet"
        whole = segments[0].stat().st_size
        flip(segments[0], draw, before=whole // 2)
        async with vdb.connect(cluster.addresses[damaged], connect_for=60) as client:
            for stream in load.streams:
                events = await client.read(stream, 0, 100, consistency="stale", timeout=60)
                assert [event.offset for event in events] == list(range(100))
        assert "file.repaired" in cluster.log(damaged)

    await under_load(cluster, rot)


def mount_small(path: Path) -> bool:
    """A disk of 64 MiB in memory; False without the right to mount one."""
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(path)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def unmount(path: Path) -> None:
    subprocess.run(["umount", "-l", str(path)], check=True)


def flip(path: Path, draw: random.Random, before: int | None = None) -> None:
    """One bit of a file, behind its header; in its first `before` bytes."""
    data = bytearray(path.read_bytes())
    at = draw.randrange(min(100, len(data) // 2), before or len(data))
    data[at] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def serving_numbers(cluster) -> list[int]:
    """Nodes that answer and hold the region's group in normal operation."""
    nodes = cluster.vdb("status")["nodes"]
    return [
        int(node["number"]) for node in nodes if any(group["status"] == "normal" for group in node.get("groups") or ())
    ]
