"""The SQL workload's part in a run: its clients, what is looked at in each phase, and the last reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio
from attrs import define, field

from sim.checkers.contents import Contents
from sim.checkers.file_keys import file_keys, key_of_file
from sim.checkers.sql_deeds import SqlJudge
from sim.checkers.sql_files import check_sql_file
from sim.checkers.sql_log import SqlLog
from sim.checkers.sql_past import check_every_commit, check_past
from sim.cluster import Cluster
from sim.machine import Machine
from sim.options import Options
from sim.sql.clients import SqlClient
from sim.sql.load import DATABASE, TENANT, SqlLoad
from sim.sql.model import dump
from sim.trace import Trace
from sim.verdict import Verdict
from sim.world.entropy import draws
from vdb.errors import DatabaseDamaged, UnknownDatabase, VerityError, WrongKey
from vdb.node.crud.database import CrudDatabase
from vdb.projections.running import database_path
from vdb.projections.store import SqliteError
from vdb.sql.meta import read_place
from vdb.types import TenantId

PATH = database_path(TenantId(TENANT), DATABASE)
RETRY_SECONDS = 0.05
ATTEMPTS = 400
LOOKS_MAX = 20
"""Moments of the past that are looked at in the end."""


@define(eq=False, kw_only=True)
class SqlPart:
    """Of a run without SQL it does nothing. `contents` by group; `home` is where the database lies,
    unless it is global. A file's keys are those of the region of its node."""

    seed: int
    options: Options
    cluster: Cluster
    verdict: Verdict
    trace: Trace
    contents: Mapping[str, Contents]
    home: str
    tell: Callable[[], None]
    load: SqlLoad = field(init=False)
    log: SqlLog = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.load = SqlLoad(
            options=self.options, cluster=self.cluster, random=draws(self.seed, "sql load"), verdict=self.verdict,
            trace=self.trace, region=self.home, head=self._head, past=lambda: self.log.dumps,
            tell=self.tell,
        )  # fmt: skip
        self.log = SqlLog(self.contents[self.load.group], self.verdict)

    def _head(self) -> int:
        return self.log.catch_up()

    def close(self) -> None:
        self.log.close()

    # Phases ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """All clients until all deeds are done."""
        if not self.options.sql:
            return
        async with trio.open_nursery() as nursery:
            for number in range(self.options.sql_clients):
                client = SqlClient(self.load, number, draws(self.seed, f"sql client {number}"))
                nursery.start_soon(client.run)

    def lag(self) -> str:
        """Q10: what an idle node's file hasn't applied yet; '' if nothing."""
        for machine in self.cluster.up if self.options.sql else ():
            database = _opened(machine)
            if database is not None and database.applied < self.log.catch_up():
                return f"{machine.name} has applied {database.applied} of {self.log.head} of its SQL database"
        return ""

    async def read_back(self, *, forgiving: bool) -> None:
        """Q9: whoever serves now has every row that the log has. `forgiving`: an error is an honest answer."""
        error_text = ""
        if not self.options.sql or not self.log.catch_up():
            return
        for _ in range(ATTEMPTS):
            machine = self.load.primary()
            if machine is not None:
                try:
                    if await self._read_back(machine):
                        return
                except (VerityError, SqliteError, trio.ClosedResourceError) as error:
                    if forgiving:
                        return
                    error_text = f"{type(error).__name__}: {error}"
            await trio.sleep(RETRY_SECONDS)
        self.verdict.check("Q9", forgiving, f"no node gives what its SQL database holds; {error_text}")

    async def _read_back(self, machine: Machine) -> bool:
        assert machine.node is not None
        try:
            database = await machine.node.service.databases.open(TENANT, DATABASE)
        except UnknownDatabase:
            return False
        await database.wait_fresh()
        session = await database.session()
        try:
            place, found = await session._bridge.off_loop(lambda: (read_place(session.db), dump(session.db)))
        finally:
            await database.end(session)
        await self._look_back(machine, database)
        due = self.log.dumps.get(self.log.head)
        self.verdict.check(
            "Q9",
            place.next_offset == self.log.head,
            f"{machine.name} serves its SQL database as of {place.next_offset}; the log goes up to {self.log.head}",
        )
        if due is not None:
            differs = found.differs(due)
            self.verdict.check("Q9", not differs, f"{machine.name} serves other rows than the log has: {differs}")
        return True

    async def _look_back(self, machine: Machine, database: CrudDatabase) -> None:
        """Q8, at the ends of some transactions, or of all: if they are few, and where the run is drawn so."""
        assert machine.node is not None
        if self.options.sql_every_commit:
            databases, random = machine.node.service.databases, draws(self.seed, "sql every commit order")
            await check_every_commit(self.verdict, databases, database, self.log, random, machine.name)
            return
        ends = [end for end in self.log.dumps if end <= database.logged_offset]
        random = draws(self.seed, "sql look back")
        for end in sorted(random.sample(ends, min(len(ends), LOOKS_MAX))):
            await check_past(self.verdict, machine.node.service.databases, database, end, self.log.dumps, machine.name)

    # Looks -----------------------------------------------------------------------------------------------------

    def on_end(self, machine: Machine) -> None:
        """Q6, of the file that an ended incarnation left."""
        if not self.options.sql or not machine.scratch.exists(PATH):
            return
        self.log.catch_up()
        keys = file_keys(self.contents[machine.config.region.name].keyring, TENANT, DATABASE)
        if not keys:
            return
        file = machine.scratch.location(PATH)
        try:
            check_sql_file(self.verdict, file, key_of_file(keys, file), f"{machine.name}: {PATH}", self.log)
        except (WrongKey, DatabaseDamaged, SqliteError) as error:
            self.verdict.check("Q6", PATH in machine.scratch.rotted, f"{machine.name}: {PATH} is damaged: {error}")

    def check_history(self) -> None:
        """Q2, Q3, Q4, Q5, Q7, Q11: everything that clients were told."""
        if self.options.sql and self.verdict.ok:
            SqlJudge(self.verdict, self.log, self.load.deeds).check()


def _opened(machine: Machine) -> CrudDatabase | None:
    """The database, if the node has its file open."""
    if machine.node is None or not machine.is_alive():
        return None
    return machine.node.service.databases._open.get((TenantId(TENANT), DATABASE))
