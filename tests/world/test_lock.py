"""The lock on a data directory, and handles in forked children."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vdb.errors import DataDirectoryInUse, ForkedHandle, StartError
from vdb.types import Region
from vdb.world import make_world
from vdb.world.disk import RealDisk

REGION = Region("us-east-1")

HOLD = """
import sys, trio
from pathlib import Path
from vdb.world.disk import RealDisk
async def main():
    disk = RealDisk(Path(sys.argv[1]))
    await disk.lock()
    disk.describe_holder("127.0.0.1:7140")
    print("held", flush=True)
    sys.stdin.read()
trio.run(main)
"""


async def test_a_second_process_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        disk = RealDisk(tmp_path)
        with pytest.raises(DataDirectoryInUse) as caught:
            await disk.lock()
        holder.stdin.close()
        holder.wait(30)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert f"process {holder.pid}" in message
    assert "`vdb start` is running there at 127.0.0.1:7140" in message
    await disk.lock()
    await disk.close()


async def test_a_second_node_in_one_process_is_refused_too(tmp_path: Path) -> None:
    first, second = make_world(tmp_path, REGION), make_world(tmp_path, REGION)
    await first.disk.lock()
    with pytest.raises(DataDirectoryInUse, match=str(os.getpid())):
        await second.disk.lock()
    await first.disk.close()
    await second.disk.lock()
    await second.disk.close()


async def test_a_directory_that_cannot_be_locked_is_not_told_as_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "")

    disk = RealDisk(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "lockf", refuse)
        with pytest.raises(StartError) as caught:
            await disk.lock()
    assert type(caught.value) is StartError
    assert f"{tmp_path} can't be locked (No locks available): a node needs a file system" in str(caught.value)
    await disk.lock()
    await disk.close()


async def test_a_handle_in_a_forked_child_raises_and_leaves_the_parent_alone(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    await disk.lock()
    file = await disk.open("a", create=True)
    database = await disk.open_database("x.db", bytes(32))

    def try_all() -> str:
        calls: list[Callable[[], object]] = [
            lambda: file.read_at(0, 1).send(None),
            lambda: file.write_at(0, b"x").send(None),
            lambda: file.sync().send(None),
            lambda: file.close().send(None),
            lambda: disk.open("b", create=True).send(None),
            lambda: disk.lock().send(None),
            lambda: disk.close().send(None),
            lambda: database.run(lambda connection: None).send(None),
            lambda: database.close().send(None),
        ]
        for number, call in enumerate(calls):
            try:
                call()
            except ForkedHandle as error:
                if "before a fork" not in str(error):
                    return f"call {number}: {error}"
            except BaseException as error:
                return f"call {number}: {error!r}"
            else:
                return f"call {number} did not raise"
        return "all raised"

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, try_all().encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)  # noqa: ASYNC222
    assert os.read(reading, 1000) == b"all raised"
    os.close(reading)
    await file.write_at(0, b"still ours")
    second = RealDisk(tmp_path)
    with pytest.raises(DataDirectoryInUse):
        await second.lock()
    await disk.close()
