"""What a client's SQL session is asked beside statements: a row's versions, what a statement would do, what differs.

Answers are told as they are where the database is. What doesn't fit one answer of the node's is asked for in several,
all of them about the same state.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn, Protocol, TypeVar, cast

from vdb.changes import Value
from vdb.client.sql_line import SqlLine
from vdb.errors import ConnectionLost, PrimaryLost
from vdb.sql.answers import SqlCall, SqlOutcome
from vdb.sql.crossing import DiffPage, VersionsPage, tables_of
from vdb.sql.diffing import RowDiff, TableDiff
from vdb.sql.explanation import Explanation
from vdb.sql.history import Version
from vdb.sql.moment import AnyMoment, moment_text, parse_moment
from vdb.wire.sql_api import check_value

T = TypeVar("T")


class Asks(Protocol):
    """What is needed of the session."""

    async def _call(
        self,
        work: Callable[[SqlLine, SqlCall], Awaitable[T]],
        recovered: Callable[[SqlOutcome], T],
        seconds: float,
        *,
        reads: bool = False,
        ends: bool = False,
    ) -> T: ...

    def _seconds(self, timeout: float | None) -> float: ...


class SqlPast:
    """A part of `RemoteSession`. `timeout` is seconds, for each answer."""

    async def history(
        self: Asks, table: str, key: Value | Sequence[Value], *, timeout: float | None = None
    ) -> list[Version]:
        """The versions of a row, the oldest first: what it was, when, by whom and why.

        `key`: of its primary key, or its rowid where the table has none; several values for several columns.
        """
        values = list(key) if isinstance(key, list | tuple) else [cast(Value, key)]
        for value in values:
            check_value(value)
        seconds = self._seconds(timeout)
        found: list[Version] = []
        end = 0

        async def work(line: SqlLine, call: SqlCall) -> VersionsPage:
            return await line.history(call, table, values, len(found), end, timeout=seconds)

        while True:
            page = await self._call(work, _no_outcome, seconds, reads=True)
            found += page.versions
            if not page.more:
                return found
            end = page.to_offset

    async def explain(self: Asks, sql: str, *, timeout: float | None = None) -> Explanation:
        """What a statement would read, write and log. It isn't run."""
        seconds = self._seconds(timeout)

        async def work(line: SqlLine, call: SqlCall) -> Explanation:
            return await line.explain(call, sql, timeout=seconds)

        return await self._call(work, _no_outcome, seconds, reads=True)

    async def diff(self: Asks, first: AnyMoment, second: AnyMoment, *, timeout: float | None = None) -> list[TableDiff]:
        """Which rows differ between two moments: what turns those of the first into those of the second."""
        seconds = self._seconds(timeout)
        begin, end = moment_text(parse_moment(first)), moment_text(parse_moment(second))
        found: list[tuple[str, RowDiff]] = []

        async def work(line: SqlLine, call: SqlCall) -> DiffPage:
            return await line.diff(call, begin, end, len(found), timeout=seconds)

        while True:
            page = await self._call(work, _no_outcome, seconds, reads=True)
            found += page.rows
            if not page.more:
                return tables_of(found)
            begin, end = str(page.first), str(page.second)

    async def restore(self: Asks, name: str, moment: AnyMoment, *, timeout: float | None = None) -> None:
        """Make a new database `name`, as this one was. StreamExists if there is one.

        ConnectionLost: the answer was lost. There may be such a database, and a part of the rows in it.
        """
        seconds, text = self._seconds(timeout), moment_text(parse_moment(moment))

        async def work(line: SqlLine, call: SqlCall) -> None:
            try:
                await line.restore(call, name, text, timeout=seconds)
            except (ConnectionLost, PrimaryLost) as error:
                raise _Lost(str(error)) from None

        try:
            await self._call(work, _no_outcome, seconds, reads=True)
        except _Lost as error:
            raise ConnectionLost(
                f"whether database {name!r} was made isn't known, and a part of the rows may be in it: {error}"
            ) from None


class _Lost(Exception):
    """An answer that isn't to be asked for again."""


def _no_outcome(outcome: SqlOutcome) -> NoReturn:
    raise AssertionError(f"a question commits nothing: {outcome}")
