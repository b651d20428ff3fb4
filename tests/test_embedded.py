"""`vdb.open`: a node in this process, for threads, for trio and for asyncio."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

import vdb
from vdb.embedded.loop_thread import LoopThread
from vdb.errors import (
    DataDirectoryInUse,
    DiskFailed,
    ForkedHandle,
    InvalidArgument,
    KeyFilePermissions,
    KeysMissing,
    NodeStopped,
    StreamExists,
    UnknownDatabase,
    UnknownStream,
    WrongKey,
)
from vdb.world.keys import generate_root_key


@pytest.fixture
def database() -> Iterator[vdb.EmbeddedDatabase]:
    with vdb.open(":memory:") as database:
        database.create_stream("notes")
        yield database


def test_every_call(database: vdb.EmbeddedDatabase) -> None:
    published = database.publish("notes", [b"a", b"b"], subject="p-1", event_ids=[b"1" * 16, b"2" * 16])
    assert (published.first_offset, published.next_offset) == (0, 2)
    assert [event.payload for event in database.read("notes")] == [b"a", b"b"]
    assert [event.offset for event in database.events("notes", 1)] == [1]
    assert database.event_ids("notes") == [b"1" * 16, b"2" * 16]
    log = database.read_log("ap-southeast-2")
    assert [event.position for event in log] == [event.position for event in database.read("notes")]
    assert [stream.name for stream in database.list_streams()] == ["notes"]
    assert database.get_stream("notes").next_offset == 2
    database.create_stream("visits")
    run = vdb.EventRun(payloads=[b"x"])
    both = database.append([vdb.StreamAppend(stream=name, runs=(run,)) for name in ("notes", "visits")])
    assert [one.next_offset for one in both] == [3, 1]
    assert {group.group for group in database.status().groups} == {"ap-southeast-2", "global"}
    follower = database.follow("notes", 2)
    assert next(follower).payload == b"x"
    with pytest.raises(StreamExists):
        database.create_stream("notes")
    with pytest.raises(UnknownStream):
        database.read("nots")


def test_data_is_there_after_reopening(tmp_path: Path) -> None:
    key = generate_root_key()
    with vdb.open(tmp_path / "d", key) as database:
        database.create_stream("notes")
        database.publish("notes", b"kept")
    with vdb.open(tmp_path / "d", key) as database:
        assert [event.payload for event in database.read("notes")] == [b"kept"]
    with pytest.raises(WrongKey):
        vdb.open(tmp_path / "d", generate_root_key())


def test_keys_in_all_their_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = generate_root_key()
    file = tmp_path / "root.key"
    file.touch(mode=0o600)
    file.write_text(key)
    with vdb.open(tmp_path / "d", file) as database:
        database.create_stream("notes")
    for keys in (str(file), key):
        vdb.open(tmp_path / "d", keys).close()
    monkeypatch.delenv("VDB_ROOT_KEY", raising=False)
    with pytest.raises(KeysMissing, match=r"no root key: set VDB_ROOT_KEY .* or name a key file with `keys`"):
        vdb.open(tmp_path / "d")
    monkeypatch.setenv("VDB_ROOT_KEY", key)
    vdb.open(tmp_path / "d").close()
    file.chmod(0o644)
    with pytest.raises(KeyFilePermissions, match="chmod 600"):
        vdb.open(tmp_path / "d", file)
    for mistyped in (key[:-4], "/" + key[1:-4]):
        with pytest.raises(KeysMissing, match="neither a root key nor a file") as caught:
            vdb.open(tmp_path / "d", mistyped)
        assert mistyped not in str(caught.value)


def test_many_threads(database: vdb.EmbeddedDatabase) -> None:
    threads = [
        threading.Thread(target=lambda n=n: [database.publish("notes", b"%d" % n) for _ in range(5)]) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.offset for event in database.read("notes")] == list(range(40))


async def _use(aio: Any) -> None:
    assert (await aio.publish("notes", b"a")).next_offset == 1
    assert [event.payload async for event in aio.events("notes")] == [b"a"]
    with pytest.raises(UnknownStream):
        await aio.read("nots")


def test_coroutines_of_asyncio(database: vdb.EmbeddedDatabase) -> None:
    async def main() -> None:
        await _use(database.aio)
        follower = database.aio.follow("notes", 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(follower), 0.05)
        found = asyncio.ensure_future(anext(database.aio.follow("notes", 1)))
        await asyncio.gather(*(database.aio.publish("notes", b"b") for _ in range(20)))
        assert (await found).payload == b"b"

    asyncio.run(main())


def test_coroutines_of_trio(database: vdb.EmbeddedDatabase) -> None:
    async def main() -> None:
        await _use(database.aio)
        follower = database.aio.follow("notes", 1)
        with trio.move_on_after(0.05) as scope:
            await anext(follower)
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(database.aio.publish, "notes", b"b")
        assert (await anext(follower)).payload == b"b"

    trio.run(main)


def test_closing_twice_and_using_it_afterwards() -> None:
    database = vdb.open(":memory:")
    place = database.data_dir
    assert place.is_dir()
    database.close()
    database.close()
    assert not place.exists(), "a throw-away database leaves nothing"
    with pytest.raises(NodeStopped, match="the database was closed"):
        database.status()
    with pytest.raises(NodeStopped):
        trio.run(database.aio.status)


def test_a_dropped_handle_closes_its_node() -> None:
    database = vdb.open(":memory:")
    place = database.data_dir
    del database
    gc.collect()
    assert not place.exists()


def test_closing_fails_those_who_wait() -> None:
    database = vdb.open(":memory:")
    database.create_stream("notes")
    errors: list[Exception] = []

    def follow() -> None:
        try:
            next(database.follow("notes"))
        except NodeStopped as error:
            errors.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    database.status()
    database.close()
    thread.join(30)
    assert len(errors) == 1


def test_a_second_process_is_told_how_to_share(tmp_path: Path) -> None:
    key = generate_root_key()
    script = "import sys, vdb\nvdb.open(sys.argv[1], sys.argv[2])"
    with vdb.open(tmp_path / "d", key) as database:
        found = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "d"), key],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=Path(vdb.__file__).parent.parent,
        )
        assert found.returncode == 1
        assert f"in use by process {os.getpid()}" in found.stderr
        assert f"run `vdb start --data-dir {tmp_path / 'd'} --region ap-southeast-2`" in found.stderr
        with pytest.raises(DataDirectoryInUse):
            vdb.open(tmp_path / "d", key)
        database.status()


def test_a_program_that_forgets_to_close_ends(tmp_path: Path) -> None:
    script = "import vdb\nd = vdb.open(':memory:')\nd.create_stream('n')\nprint(d.data_dir)"
    found = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=Path(vdb.__file__).parent.parent,
    )
    assert found.stderr == ""
    assert not Path(found.stdout.strip()).exists()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_refused(database: vdb.EmbeddedDatabase) -> None:
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        message = b"no error"
        try:
            database.status()
        except ForkedHandle as error:
            message = str(error).encode()
        os.write(write_end, message)
        database.close()
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        message = pipe.read().decode()
    os.waitpid(child, 0)
    assert "opened before a fork" in message
    assert "vdb start" in message
    assert database.status().groups, "the parent's node goes on"


def test_a_node_that_fails_stops_alone() -> None:
    failing = trio.Event()

    async def main(ready: Any) -> None:
        ready("gateway")
        await failing.wait()
        raise DiskFailed("fdatasync of wal failed")

    async def fail() -> None:
        failing.set()

    loop = LoopThread(main, name="failing")
    assert loop.start() == "gateway"
    future = loop.submit(trio.sleep_forever)
    loop.call(fail)
    with pytest.raises(NodeStopped, match="the node has stopped: fdatasync of wal failed"):
        future.result(30)
    with pytest.raises(NodeStopped, match="fdatasync of wal failed"):
        loop.call(trio.sleep_forever)
    loop.stop()


def test_of_several_failures_the_broken_invariant_is_told() -> None:
    async def main(ready: Any) -> None:
        raise BaseExceptionGroup("", [DiskFailed("EIO"), ExceptionGroup("", [AssertionError("ops 3 and 5")])])

    with pytest.raises(AssertionError, match="ops 3 and 5"):
        LoopThread(main, name="failing").start()


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="a region's name has 2 to 32 characters"):
        vdb.open(":memory:", region="Sydney!")


def test_sql_sessions_of_every_face(database: vdb.EmbeddedDatabase) -> None:
    assert database.create_database("clinic") is True
    assert [one.name for one in database.list_databases()] == ["clinic"]
    with database.sql("clinic", actor="dr-lee") as session:
        session.batch(["CREATE TABLE t (a INTEGER PRIMARY KEY, b)", "INSERT INTO t (b) VALUES ('x')"])
        with session.transaction():
            session.executemany("INSERT INTO t (b) VALUES (?)", [(number,) for number in range(3)])
        assert not session.in_transaction
        rows = session.execute("SELECT * FROM t", max_rows=2)
        assert rows.columns == ("a", "b")
        assert rows.fetchone() == (1, "x")
        assert list(rows) == [(2, 0), (3, 1), (4, 2)]
        session.execute("SELECT * FROM t", max_rows=1)  # given up with its last reference
        session.execute("SELECT * FROM t", max_rows=1).close()
        session.execute("BEGIN")
        session.execute("DELETE FROM t")
        session.rollback()
        assert session.name == "clinic"
        assert session.position is not None
        session.level = session.position
        session.attribution = session.attribution
        session.interrupt()
    with pytest.raises(UnknownDatabase):
        database.sql("nope").execute("SELECT 1")

    async def use() -> None:
        assert await database.aio.create_database("clinic", if_not_exists=True) is False
        assert [one.name for one in await database.aio.list_databases()] == ["clinic"]
        async with database.aio.sql("clinic") as other:
            found = await (await other.execute("SELECT a FROM t", max_rows=1)).fetchall()
            assert found in ([(1,), (2,), (3,), (4,)], [(3,), (4,)])
            await (await other.execute("SELECT a FROM t", max_rows=1)).close()
            await other.execute("SELECT a FROM t", max_rows=1)
            assert (await other.batch(["UPDATE t SET b = 1"]))[0].rowcount == len(found)
            async with other.transaction():
                await other.executemany("DELETE FROM t WHERE a = ?", [(1,), (2,)])
            async with other.transaction("DEFERRED"):
                await other.rollback()

    trio.run(use)
    asyncio.run(use())
