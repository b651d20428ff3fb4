"""SQL clients: sessions inside the simulated nodes, several at once, as an embedding program or the RPC door has them.

A client goes to a node, mostly the primary, opens a session, does some deeds and leaves. A crash of the node ends its
session wherever it stands; what it had asked for has an unknown outcome. Some clients are impatient: they give up a
statement half way, and end their session.
"""

from __future__ import annotations

import traceback
from random import Random

import trio
from attrs import define

from sim.checkers.sql_deeds import check_fresh
from sim.checkers.sql_past import check_past
from sim.inside import living
from sim.machine import Machine
from sim.sql.deeds import METADATA_KEY, Answer, Deed, Fate, Said, row_text
from sim.sql.load import DATABASE, TENANT, SqlLoad
from sim.sql.model import failed
from sim.sql.script import Script, Statement
from sim.sql.shapes import BY_NAME
from vdb.changes import Attribution
from vdb.errors import DefiniteError, UnknownDatabase, VerityError
from vdb.node.crud.database import CrudDatabase
from vdb.projections.store import SqliteError
from vdb.sql.results import Result
from vdb.sql.session import SqlSession

REST_SECONDS = 0.02
"""After a node wasn't there or said no."""
_DISTURBED = ("locked", "malformed", "disk I/O", "not a database", "closed database", "interrupted")
"""What SQLite says when something else than the statement is the reason."""


class _Left(Exception):
    """This session is over; the client goes on with another one."""


@define(eq=False)
class SqlClient:
    load: SqlLoad
    number: int
    random: Random

    async def run(self) -> None:
        """Deeds until the run has had enough. The first client makes the tables."""
        if self.number == 0:
            await self._make_tables()
        await self.load.made.wait()
        while self.load.left > 0:
            machine = self._choose()
            if machine is not None:
                await self._visit(machine, None)
            await trio.sleep(REST_SECONDS * self.random.random())

    async def _make_tables(self) -> None:
        todo = self.load.shapes
        while todo:
            machine = self.load.primary()
            if machine is not None:
                await self._visit(machine, todo)
            await trio.sleep(REST_SECONDS * self.random.random())
        self.load.made.set()

    def _choose(self) -> Machine | None:
        """Mostly the primary; now and then any node, which takes no writes."""
        up = self.load.cluster.up
        if up and self.random.random() < self.load.options.sql_elsewhere:
            return self.random.choice(up)
        return self.load.primary()

    async def _visit(self, machine: Machine, todo: list[str] | None) -> None:
        """One session, as long as the node lives."""
        with living(machine):
            assert machine.node is not None
            try:
                database = await self._open(machine)
                await self._use(machine, database, todo)
            except (VerityError, SqliteError, trio.ClosedResourceError, _Left) as error:
                self.load.trace.add(f"q{self.number}", "left", type(error).__name__, str(error))
            except Exception as error:
                if machine.is_alive():
                    text = "".join(traceback.format_exception(error)[-6:])
                    kind = "assertion" if isinstance(error, AssertionError) else "error"
                    self.load.verdict.fail(kind, f"a session on {machine.name}: {error}\n{text}")

    async def _open(self, machine: Machine) -> CrudDatabase:
        load = self.load
        assert machine.node is not None
        databases = machine.node.service.databases
        try:
            return await databases.open(TENANT, DATABASE)
        except UnknownDatabase:
            await databases.create(TENANT, DATABASE, load.data_class, load.group, if_not_exists=True)
            return await databases.open(TENANT, DATABASE)

    async def _use(self, machine: Machine, database: CrudDatabase, todo: list[str] | None) -> None:
        load, random = self.load, self.random
        session = await database.session(lock_timeout=random.choice((0.01, 0.3, 5.0)))
        recursive = random.random() < 0.2
        pragmas = (
            f"PRAGMA foreign_keys = {'ON' if load.foreign_keys else 'OFF'}",
            f"PRAGMA recursive_triggers = {'ON' if recursive else 'OFF'}",
        )
        try:
            for pragma in pragmas:
                await session.execute(pragma)
            if todo is not None:
                while todo:
                    script = load.grammar.setup(BY_NAME[todo[0]])
                    deed = await self._do(machine, database, session, script, pragmas)
                    if all(said.answer is not None and not said.answer.error for said in deed.said) or _exists(deed):
                        script.on_success()
                        todo.pop(0)
                return
            for _ in range(random.randrange(1, 10)):
                if load.left <= 0:
                    return
                load.left -= 1
                if random.random() < load.options.sql_travel:
                    await self._look_back(machine, database)
                await self._do(machine, database, session, load.grammar.draw(), pragmas)
                if load.options.sql_think_us:
                    await trio.sleep(random.randrange(load.options.sql_think_us) / 1e6)
        finally:
            await database.end(session)

    async def _look_back(self, machine: Machine, database: CrudDatabase) -> None:
        """The database as it was at some offset, between two transactions or within one."""
        load = self.load
        assert machine.node is not None
        load.head()
        offset = self.random.randrange(database.logged_offset + 1)
        await check_past(
            load.verdict,
            machine.node.service.databases,
            database,
            offset,
            load.past(),
            f"q{self.number} on {machine.who}",
        )

    # Deeds -----------------------------------------------------------------------------------------------------

    async def _do(
        self, machine: Machine, database: CrudDatabase, session: SqlSession, script: Script, pragmas: tuple[str, ...]
    ) -> Deed:
        load = self.load
        number = len(load.deeds.all) + 1
        deed = Deed(
            number=number, client=self.number, node=machine.who, script=script, pragmas=pragmas,
            applied=database.applied, settled=load.deeds.settled,
        )  # fmt: skip
        load.deeds.add(deed)
        session.attribution = Attribution(
            actor=f"q{self.number}", purpose=script.kind, metadata={METADATA_KEY: f"{number}"}
        )
        impatient = self.random.random() < load.options.sql_impatience
        seconds = 0.02 * 10 ** (-2.5 * self.random.random()) if impatient else float("inf")
        try:
            with trio.move_on_after(seconds) as scope:
                await self._say_all(database, session, deed)
            if scope.cancelled_caught:
                load.end(deed, Fate.UNKNOWN if deed.asked else Fate.REFUSED, "gave up")
                raise _Left
        except BaseException as error:
            if deed.fate is Fate.PENDING:
                certain = not deed.asked or isinstance(error, DefiniteError)
                said = str(error) if isinstance(error, VerityError) else ""
                load.end(deed, Fate.REFUSED if certain else Fate.UNKNOWN, f"{type(error).__name__}: {said}")
            raise
        return deed

    async def _say_all(self, database: CrudDatabase, session: SqlSession, deed: Deed) -> None:
        load = self.load
        if deed.script.kind == "read" and self.random.random() < 0.5:
            await database.wait_fresh()
            deed.fresh, deed.applied = True, database.applied
            check_fresh(load.verdict, deed)
        before = session.last_logged
        outermost = deed.script.statements[0].sql.startswith("SAVEPOINT")
        last = len(deed.script.statements) - 1
        for index, statement in enumerate(deed.script.statements):
            said = Said(statement)
            deed.said.append(said)
            ends = index == last and (outermost or not statement.sql.upper().startswith("ROLLBACK"))
            deed.asked = deed.asked or ends
            said.answer = await self._say(session, statement)
            if not said.answer.open and (index < last and (index > 0 or said.answer.error)):
                break  # SQLite ended the transaction, or it never began
            if load.options.sql_think_us and self.random.random() < 0.3:
                await trio.sleep(self.random.randrange(load.options.sql_think_us) / 1e6)
        if session.in_transaction:
            said = Said(Statement("ROLLBACK"))
            deed.said.append(said)
            said.answer = await self._say(session, said.statement)
        logged = session.last_logged
        if logged is not before and logged is not None:
            deed.first_offset, deed.next_offset = logged.first_offset, logged.next_offset
        load.end(deed, Fate.DONE)
        if not any(said.answer is None or said.answer.error for said in deed.said):
            deed.script.on_success()

    async def _say(self, session: SqlSession, statement: Statement) -> Answer:
        try:
            if statement.many:
                result = await session.executemany(statement.sql, statement.parameters)
            else:
                result = await session.execute(statement.sql, statement.parameters)
            return _answer(session, result)
        except SqliteError as error:
            if any(word in str(error) for word in _DISTURBED):
                raise _Left(f"{type(error).__name__}: {error}") from error
            return failed(session.db, error)


def _answer(session: SqlSession, result: Result) -> Answer:
    rows = None if result.description is None else tuple(row_text(row) for row in result.fetchall())
    rowcount = result.rowcount if result.cursor is None else result.cursor.rowcount
    return Answer(rows=rows, rowcount=rowcount, rowid=result.lastrowid, open=session.in_transaction)


def _exists(deed: Deed) -> bool:
    """Whether the tables were made by an attempt whose outcome wasn't known."""
    return any(said.answer is not None and "already exists" in said.answer.error for said in deed.said)
