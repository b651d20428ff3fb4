"""SQL databases as they were: every state that there was, by every way to name it, and what was left on the way."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import trio

from vdb.changes import Attribution, Operation
from vdb.errors import DatabaseDamaged, InvalidArgument, StreamExists
from vdb.node.crud import copies, restoring
from vdb.node.crud.moments import resolve
from vdb.projections.store import SqliteError, open_plain_memory
from vdb.sql import restore
from vdb.types import Position

SELECT = "SELECT rowid, * FROM t ORDER BY rowid"


async def rows(then: Any, sql: str = SELECT) -> list[tuple[Any, ...]]:
    connection = await then.connect()
    try:
        return await then.file.work(lambda: connection.execute(sql).fetchall())
    finally:
        await then.file.disconnect(connection)


async def states(session: Any, database: Any, count: int = 6) -> dict[int, list[tuple[Any, ...]]]:
    """Make transactions; the rows after each of them, by the offset where it ends."""
    await session.execute("CREATE TABLE t (a, b TEXT UNIQUE)")
    found = {database.logged_offset: []}
    for number in range(count):
        await session.execute("BEGIN")
        await session.execute("INSERT OR REPLACE INTO t VALUES (?, ?)", (number, str(number % 3)))
        await session.execute("UPDATE t SET a = a + 1")
        await session.execute("COMMIT")
        found[database.logged_offset] = (await session.execute(SELECT)).fetchall()
    return found


async def test_every_state_that_there_was(start, clinic, opened) -> None:
    async with start() as node:
        database = await clinic(node)
        travel = node.service.databases.travel
        async with opened(database) as session:
            expected = await states(session, database)
            for offset in [*expected, *reversed(expected)]:
                then = await travel.as_of(database, offset=offset)
                assert (then.offset, await rows(then)) == (offset, expected[offset])
                await then.close()
                await then.close()
            (latest,) = [await travel.as_of(database)]
            assert latest.offset == database.logged_offset
            await latest.close()


async def test_the_beginning_is_an_empty_database(start, clinic, opened) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as session:
            await states(session, database, 1)
            then = await node.service.databases.travel.as_of(database, offset=0)
            assert await rows(then, "SELECT count(*) FROM sqlite_master WHERE name = 't'") == [(0,)]
            await then.close()


async def test_a_moment_is_the_end_of_a_transaction(start, clinic, opened) -> None:
    async with start() as node:
        database = await clinic(node)
        ends, times = [0], []
        async with opened(database) as session:
            for sql in ("CREATE TABLE t (a)", "INSERT INTO t VALUES (1), (2), (3)", "UPDATE t SET a = a + 1"):
                await session.execute(sql)
                ends.append(session.last_logged.next_offset)
                times.append((session.last_logged.time, session.last_logged.position))
        for end, following in pairwise(ends):
            for offset in range(end, following):
                assert await resolve(database, offset=offset) == end
        assert await resolve(database) == ends[-1] == database.logged_offset
        for (time, position), end, before in zip(times, ends[1:], ends, strict=False):
            assert await resolve(database, timestamp=time) == end
            assert await resolve(database, timestamp=time - 1) == before
            assert await resolve(database, position=position) == end
            assert await resolve(database, position=Position(position.group, position.number - 1)) == before
        assert await resolve(database, timestamp=0) == 0
        assert await resolve(database, timestamp=2**62) == ends[-1]


async def test_a_moment_that_is_not_in_the_log_is_refused(start, clinic) -> None:
    async with start() as node:
        database = await clinic(node)
        with pytest.raises(InvalidArgument, match="'clinic' has 0 events: expected an offset up to that, found 1"):
            await resolve(database, offset=1)
        with pytest.raises(InvalidArgument, match="found -1"):
            await resolve(database, offset=-1)
        with pytest.raises(InvalidArgument, match=r"lies in group .*: expected a position of it, found"):
            await resolve(database, position=Position("global", 1))
        with pytest.raises(InvalidArgument, match="found several"):
            await resolve(database, offset=0, timestamp=0)


async def test_a_state_that_was_can_not_be_written(start, clinic, opened) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as session:
            await states(session, database, 1)
        then = await node.service.databases.travel.as_of(database)
        with pytest.raises(Exception, match="readonly database"):
            await rows(then, "DELETE FROM t")
        await then.close()


async def test_copies_are_bounded_and_what_is_in_use_stays(start, clinic, opened, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(restore, "SPACING_MIN", 4)
    async with start() as node:
        database = await clinic(node)
        travel = node.service.databases.travel
        async with opened(database) as session:
            expected = await states(session, database, 30)
            held = [await travel.as_of(database, offset=offset) for offset in list(expected)[2:5]]
            kept = travel._of(database)
            for offset in expected:
                then = await travel.as_of(database, offset=offset)
                assert await rows(then) == expected[offset]
                await then.close()
                assert len(kept.offsets) <= restore.COPIES_MAX + len(held) + 1
            for then in held:
                assert await rows(then) == expected[then.offset]
                await then.close()
            assert len(kept.offsets) == restore.COPIES_MAX
            files = (tmp_path / "data" / copies.FOLDER / "t_1" / "clinic").iterdir()
            assert sorted(file.name for file in files) == [f"{offset:020d}.db" for offset in kept.offsets]


async def test_a_long_way_leaves_copies_on_it(start, clinic, opened, monkeypatch) -> None:
    monkeypatch.setattr(restore, "SPACING_MIN", 10)
    monkeypatch.setattr(copies.Copies, "_begin", forwards_only)
    monkeypatch.setattr(copies, "portions", lambda found: [[one] for one in found])
    async with start() as node:
        database = await clinic(node)
        travel = node.service.databases.travel
        async with opened(database) as session:
            expected = await states(session, database, 20)
        then = await travel.as_of(database)
        await then.close()
        offsets = travel._of(database).offsets
        assert len(offsets) >= restore.COPIES_MAX - 1
        assert max(b - a for a, b in zip([0, *offsets], offsets, strict=False)) <= restore.spacing(then.offset) + 7
        for offset in offsets:
            then = await travel.as_of(database, offset=offset)
            assert await rows(then) == expected[offset]
            await then.close()


forward_begin = copies.Copies._begin


async def forwards_only(self: Any, file: Any, offset: int | None) -> int:
    """Begin as if the live file were beyond what is asked for."""
    applied, self.database._applied = self.database._applied, 2**60
    try:
        return await forward_begin(self, file, offset)
    finally:
        self.database._applied = applied


async def test_a_live_file_that_moved_on_meanwhile_is_no_beginning(start, clinic, opened) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as session:
            expected = await states(session, database, 3)
        offset = list(expected)[1]
        end, database._applied = database._applied, offset
        try:
            then = await node.service.databases.travel.as_of(database, offset=offset)
        finally:
            database._applied = end
        assert await rows(then) == expected[offset]
        await then.close()


async def test_a_copy_that_rots_is_built_again(start, clinic, opened, tmp_path) -> None:
    async with start() as node:
        database = await clinic(node)
        travel = node.service.databases.travel
        async with opened(database) as session:
            expected = await states(session, database, 3)
        first, second = list(expected)[1:3]
        then = await travel.as_of(database, offset=first)
        await then.close()
        file = tmp_path / "data" / then.path
        content = bytearray(file.read_bytes())
        for at in range(4096, len(content), 512):
            content[at] ^= 255
        file.write_bytes(content)
        then = await travel.as_of(database, offset=second)
        assert await rows(then) == expected[second]
        await then.close()


async def test_damage_that_nobody_has_met_is_not_copied(start, clinic, opened, monkeypatch) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as session:
            expected = await states(session, database, 3)
        copied: list[bool] = []

        def check(db: Any) -> None:
            copied.append(True)
            raise DatabaseDamaged("a page came along as it was")

        monkeypatch.setattr(copies, "_check_pages", check)
        then = await node.service.databases.travel.as_of(database)
        assert copied == [True], "what was copied was looked at, and then built from the log"
        assert await rows(then) == expected[then.offset]
        await then.close()


def test_a_page_that_is_not_whole_is_found() -> None:
    db = open_plain_memory()
    copies._check_pages(db)
    db.execute("CREATE TABLE t (a UNIQUE)")
    db.execute("INSERT INTO t VALUES (1)")
    db.execute("PRAGMA writable_schema = ON")
    db.execute("UPDATE sqlite_master SET rootpage = 2 WHERE type = 'index'")
    db.execute("PRAGMA schema_version = 99")
    with pytest.raises((DatabaseDamaged, SqliteError)):
        copies._check_pages(db)


async def test_a_live_file_that_is_damaged_is_not_needed(start, clinic, opened, monkeypatch) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as session:
            expected = await states(session, database, 3)

        async def fail(work: Any) -> Any:
            raise DatabaseDamaged("the live file")

        monkeypatch.setattr(database.file, "read", fail)
        then = await node.service.databases.travel.as_of(database)
        assert await rows(then) == expected[then.offset]
        await then.close()


async def test_copies_of_an_earlier_life_are_removed(start, clinic, opened, tmp_path) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as session:
            expected = await states(session, database, 3)
        then = await node.service.databases.travel.as_of(database, offset=list(expected)[1])
        await then.close()
        kept = tmp_path / "data" / then.path
    assert kept.exists()
    (kept.parent / "building.db").write_bytes(b"half")
    async with start() as node:
        database = await node.service.databases.open(1, "clinic")
        then = await node.service.databases.travel.as_of(database, offset=list(expected)[2])
        assert not kept.exists()
        assert [file.name for file in kept.parent.glob("*.db")] == [then.path.rpartition("/")[2]]
        await then.close()


async def test_copies_go_when_nobody_asks_any_more(start, clinic, opened, tmp_path) -> None:
    async with start() as node:
        database = await clinic(node)
        travel = node.service.databases.travel
        async with opened(database) as session:
            await states(session, database, 1)
        then = await travel.as_of(database)
        await travel.tidy(idle_seconds=0)
        assert (tmp_path / "data" / then.path).exists()
        await then.close()
        await travel.tidy(idle_seconds=1000)
        assert (tmp_path / "data" / then.path).exists()
        await travel.tidy(idle_seconds=0)
        assert not (tmp_path / "data" / then.path).exists()
        then = await travel.as_of(database)
        await then.close()
        await travel.forget(database)
        assert travel._of(database).offsets == []


async def test_several_at_once_get_the_same_state(start, clinic, opened) -> None:
    async with start() as node:
        database = await clinic(node)
        travel = node.service.databases.travel
        async with opened(database) as session:
            expected = await states(session, database, 4)

        async def ask(offset: int) -> None:
            then = await travel.as_of(database, offset=offset)
            assert await rows(then) == expected[offset]
            await then.close()

        async with trio.open_nursery() as nursery:
            for offset in [*expected, *expected]:
                nursery.start_soon(ask, offset)


# History, differences, restore -------------------------------------------------------------------------------------


async def test_a_row_is_told_with_who_changed_it(start, clinic, opened) -> None:
    async with start() as node:
        database = await clinic(node)
        travel = node.service.databases.travel
        async with opened(database, attribution=Attribution(actor="dr", purpose="care")) as session:
            await session.execute("CREATE TABLE patients (id INTEGER PRIMARY KEY, name TEXT)")
            await session.execute("INSERT INTO patients VALUES (1, 'Ada'), (2, 'Ben')")
            middle = database.logged_offset
            await session.execute("UPDATE patients SET id = 7, name = 'Ada L' WHERE id = 1")
        versions = await travel.history(database, "patients", 7)
        assert [version.operation for version in versions] == [Operation.INSERT, Operation.UPDATE]
        assert versions[1].before == {"id": 1, "name": "Ada"}
        assert versions[1].attribution == Attribution(actor="dr", purpose="care")
        assert versions[1].next_offset == database.logged_offset
        assert versions[1].time > versions[0].time
        assert await travel.history(database, "patients", 7, to_offset=middle) == []


async def test_differences_are_told_forwards_and_backwards(start, clinic, opened) -> None:
    async with start() as node:
        database = await clinic(node)
        travel = node.service.databases.travel
        async with opened(database) as session:
            await session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
            first = database.logged_offset
            await session.execute("INSERT INTO t VALUES (1, 'x'), (2, 'y')")
            second = database.logged_offset
            await session.execute("UPDATE t SET a = 'z' WHERE id = 2")
            third = database.logged_offset
            await session.execute("ALTER TABLE t ADD COLUMN b DEFAULT 5")
            await session.execute("INSERT INTO t VALUES (3, 'w', 6)")

        async def told(begin: int, end: int) -> list[tuple[Any, ...]]:
            return [
                (row.operation.name, row.before, row.after)
                for table in await travel.diff(database, begin, end)
                for row in table.rows
            ]

        assert await told(first, second) == [
            ("INSERT", None, {"id": 1, "a": "x"}),
            ("INSERT", None, {"id": 2, "a": "y"}),
        ]
        assert await told(second, third) == [("UPDATE", {"id": 2, "a": "y"}, {"id": 2, "a": "z"})]
        assert await told(third, second) == [("UPDATE", {"id": 2, "a": "z"}, {"id": 2, "a": "y"})]
        assert await told(third, database.logged_offset) == [("INSERT", None, {"id": 3, "a": "w", "b": 6})]
        assert await told(third, third) == []


async def test_a_database_is_restored_into_a_new_one(start, clinic, opened, query) -> None:
    async with start() as node:
        database = await clinic(node)
        databases = node.service.databases
        async with opened(database) as session:
            expected = await states(session, database, 5)
        offset = list(expected)[3]
        who = Attribution(actor="operator", purpose="restore")
        new = await restoring.restore(databases, 1, "clinic", "again", attribution=who, offset=offset)
        async with opened(new) as session:
            assert await query(session, SELECT) == expected[offset]
            await session.execute("INSERT INTO t VALUES (100, 'new')")
        async with opened(database) as session:
            assert await query(session, SELECT) == expected[database.logged_offset]
        with pytest.raises(StreamExists):
            await restoring.restore(databases, 1, "clinic", "again", attribution=who)
        with pytest.raises(InvalidArgument, match="expected another name"):
            await restoring.restore(databases, 1, "clinic", "clinic", attribution=who)
    async with start() as node:
        new = await node.service.databases.open(1, "again")
        async with opened(new) as session:
            assert (await query(session, SELECT))[:-1] == expected[offset]
        (version, *_) = await node.service.databases.travel.history(new, "t", 1)
        assert version.attribution == who
