"""What clients' sessions are asked: on every face of a node in this process, and against lines that lose answers."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import vdb
from vdb.changes import NOBODY
from vdb.client.sql_session import RemoteSession
from vdb.errors import ConnectionLost, InvalidArgument, PrimaryLost, SqlRefused, StreamExists
from vdb.sql.moment import Moment, moment_text, parse_moment
from vdb.types import Consistency


async def fill(session: Any) -> None:
    await session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, b)")
    await session.execute("INSERT INTO t VALUES (1, 'one')")
    await session.execute("UPDATE t SET b = 'two'")


async def test_every_face_tells_the_same() -> None:
    with vdb.open(":memory:") as node:
        node.create_database("clinic")
        async with node.aio.sql("clinic", actor="dr-lee") as session:
            await fill(session)
            versions = await session.history("t", 1)
            assert [version.after["b"] for version in versions] == ["one", "two"]
            assert {version.attribution.actor for version in versions} == {"dr-lee"}
            explanation = await session.explain("SELECT b FROM t WHERE id = 1")
            (first, second) = (version.next_offset for version in versions)
            differs = await session.diff(first, second)
            assert [(row.before["b"], row.after["b"]) for row in differs[0].rows] == [("one", "two")]
            await session.restore("then", first)
            with pytest.raises(StreamExists):
                await session.restore("then", first)
            with pytest.raises(TypeError):
                await session.history("t", [object()])
        with node.sql("clinic", as_of=first) as past:
            assert past.execute("SELECT b FROM t").fetchall() == [("one",)]
            with pytest.raises(SqlRefused, match="not written"):
                past.execute("DELETE FROM t")
            assert past.history("t", 1) == versions
            assert past.explain("SELECT b FROM t WHERE id = 1") == explanation
            assert past.diff(first, second) == differs
        with node.sql("then") as then:
            assert then.execute("SELECT b FROM t").fetchall() == [("one",)]
            then.restore("again", then.history("t", 1)[0].next_offset)
        with pytest.raises(InvalidArgument, match="expected an offset up to that, found 999"):
            node.sql("clinic", as_of=999).__enter__()
        with pytest.raises(InvalidArgument, match="a moment is"):
            node.sql("clinic", as_of="then")


class Line:
    """Loses each answer."""

    next_offset = 0

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.calls = 0

    def new_id(self) -> bytes:
        return bytes(16)

    def drop(self) -> None: ...

    async def restore(self, *arguments: Any, timeout: float) -> None:
        self.calls += 1
        await trio.lowlevel.checkpoint()
        raise self.error


class Source:
    def __init__(self, line: Line) -> None:
        self.line = line

    async def open(self, *arguments: Any, **options: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return self.line


@pytest.mark.parametrize("error", [ConnectionLost("cut"), PrimaryLost("gone")])
async def test_a_restore_whose_answer_is_lost_isnt_made_again(error: Exception) -> None:
    line = Line(error)
    source: Any = Source(line)
    session = RemoteSession(source, name="clinic", attribution=NOBODY, level=Consistency.LINEARIZABLE, timeout=30.0)
    with pytest.raises(ConnectionLost, match="whether database 'then' was made isn't known"):
        await session.restore("then", 7)
    assert line.calls == 1


@pytest.mark.parametrize("moment", [7, "ap-southeast-2:120", "2026-03-01T12:00:00.000001Z", "1969-01-01"])
def test_moments_have_a_text(moment: Any) -> None:
    found = parse_moment(moment)
    assert parse_moment(moment_text(found)) == found


def test_what_is_no_moment_has_none() -> None:
    with pytest.raises(InvalidArgument, match="found none of them"):
        moment_text(Moment())
    with pytest.raises(InvalidArgument, match="the years 1 to 9999"):
        moment_text(Moment(timestamp=2**62))
