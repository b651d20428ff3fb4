"""The limits on open files: raised at the start, and told as what they are."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vdb.errors import TooManyOpenFiles
from vdb.world.disk import RealDisk
from vdb.world.guard import disk_errors

KEY = bytes(32)

RAISE = """
import resource
from vdb.world.open_files import raise_open_files_limit
_soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
assert raise_open_files_limit() == hard == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
assert raise_open_files_limit() == hard
"""


@contextmanager
def no_file_left() -> Iterator[int]:
    """The process may open no file; the limit that says so."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = os.open(os.devnull, os.O_RDONLY)
    os.close(taken)
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken, hard))
    try:
        yield taken
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    subprocess.run([sys.executable, "-c", RAISE], env={**os.environ, "PYTHONPATH": os.getcwd()}, check=True)


async def test_a_process_without_descriptors_is_told_so(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    await disk.open("a", create=True)
    for opening in (lambda: disk.open("a"), lambda: disk.open_database("x.db", KEY)):
        with no_file_left() as limit, pytest.raises(TooManyOpenFiles) as caught:
            await opening()
        assert f"has reached its limit of {limit} open files" in str(caught.value)
        assert "`ulimit -n`" in str(caught.value)
    await disk.close()


async def test_a_database_without_descriptors_is_told_so(tmp_path: Path) -> None:
    """The first reading connection needs one, and SQLite doesn't say why it got none."""
    disk = RealDisk(tmp_path)
    database = await disk.open_database("x.db", KEY)
    await database.run(lambda connection: connection.execute("CREATE TABLE t (a)"))
    with no_file_left(), pytest.raises(TooManyOpenFiles, match=r"x\.db: this process has reached its limit"):
        await database.read(lambda connection: connection.execute("SELECT * FROM t").fetchall())
    assert await database.read(lambda connection: connection.execute("SELECT * FROM t").fetchall()) == []
    await disk.close()


def test_a_system_without_files_is_told_so() -> None:
    with pytest.raises(
        TooManyOpenFiles, match=r"a/b: the system has no file left to open \(its limit is fs.file-max\)"
    ):
        with disk_errors("a/b"):
            raise OSError(errno.ENFILE, "")
