"""Files with pages that can't be read: whoever meets one has the file built anew from the log."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from vdb.errors import NotReady, TransactionEnded
from vdb.projections.store import SqliteError

PAGE = 4096


def harm(folder: Path) -> None:
    """Flip a bit of each of the last pages, which no opening reads."""
    file = folder / "data" / "projections" / "t_1" / "clinic.db"
    content = bytearray(file.read_bytes())
    for page in range(len(content) // PAGE // 2, len(content) // PAGE):
        content[page * PAGE + 100] ^= 1
    file.write_bytes(content)


async def fill(start, clinic, opened) -> None:
    async with start() as node, opened(await clinic(node)) as session:
        await session.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
        for number in range(40):
            await session.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * 900))


async def test_a_session_meets_a_damaged_page(start, clinic, opened, query, tmp_path) -> None:
    await fill(start, clinic, opened)
    harm(tmp_path)
    async with start() as node:
        database = await clinic(node)
        session = await database.session()
        with pytest.raises(SqliteError, match="malformed"):
            await session.execute("SELECT count(*), max(b) FROM t")
        with trio.fail_after(10):
            while True:
                try:
                    async with opened(database) as other:
                        assert await query(other, "SELECT count(*) FROM t WHERE length(b) = 900") == [(40,)]
                        break
                except (NotReady, SqliteError, TransactionEnded):
                    await trio.sleep(0.01)
        with pytest.raises((TransactionEnded, SqliteError)):
            await session.execute("SELECT 1")
        await database.end(session)
