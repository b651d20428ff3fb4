"""SQL beside erasures: people write rows about subjects, and have subjects erased. What is checked: E9 to E12.

Some have sessions inside the nodes, as in the SQL workload. They write about those who are next to be erased, some rows
each, in several tables; move rows from one to another; and look at what there is, was, and how it came to be. Numbers
of rows and tags are taken again once they are free, so that what is erased makes room for what isn't.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

import trio
from attrs import define, field

from sim.canary import WORD
from sim.checkers.contents import Contents
from sim.checkers.erased_rows import ErasedRows
from sim.cluster import Cluster
from sim.inside import living
from sim.machine import Machine
from sim.options import Options
from sim.platter_view import PlatterView
from sim.raw_client import Connector
from sim.sql.deeds import METADATA_KEY
from sim.sql.model import dump
from sim.trace import Trace
from sim.verdict import Verdict
from sim.watch import Watch
from sim.world.entropy import draws
from vdb.changes import Attribution
from vdb.client.client import Client
from vdb.errors import SubjectErased, UnknownDatabase, VerityError
from vdb.kernel.erasure import erasures_of, pending_nodes
from vdb.kernel.erasure_command import ErasureCommand
from vdb.kernel.reply import Reply
from vdb.node.crud.database import CrudDatabase
from vdb.ports import Entropy
from vdb.projections.store import SqliteError
from vdb.sql.meta import read_place
from vdb.sql.migrations import apply_migrations, load_migrations
from vdb.sql.session import SqlSession
from vdb.types import DataClass, GroupId, TenantId

OFFICER = 470
"""The number of the client that has subjects erased."""
TENANT = TenantId(87)
DATABASE = "charts"
WRITERS = 2
SUBJECTS = tuple(f"{WORD}-row-{number:02d}" for number in range(40))
AT_A_TIME = 3
"""Subjects that are written about."""
WORK = {"write": 8, "look": 2, "past": 2, "history": 1, "differ": 1, "erase": 2}
WRITES = {"visit": 5, "replace": 2, "patient": 3, "update": 2, "move": 2, "delete": 2, "room": 1}
ERASED_SHARE = 0.05
"""Of what is written about: somebody who was erased."""
TAGS = 6
REST_SECONDS = 0.03
RETRY_SECONDS = 60.0
LAST_LOOKS = 4
"""At each node in the end, into the past and into histories."""
LOOK_SECONDS = 20.0
COLUMNS = {"patients": "name", "visits": "patient"}
MIGRATIONS = load_migrations(
    {
        "0001_charts.sql": (
            "-- vdb: subject patients.name\n-- vdb: subject visits.patient\n"
            "CREATE TABLE patients (name TEXT PRIMARY KEY, note TEXT);\n"
            "CREATE TABLE visits (id INTEGER PRIMARY KEY, patient TEXT, tag TEXT UNIQUE, note TEXT);\n"
            "CREATE INDEX visits_by_patient ON visits(patient);\n"
            "CREATE TABLE rooms (id INTEGER PRIMARY KEY, n INTEGER);\n"
        )
    }
)


@define(eq=False, kw_only=True)
class RowsPart:
    """Of a run without this workload it does nothing."""

    seed: int
    options: Options
    cluster: Cluster
    watch: Watch
    verdict: Verdict
    trace: Trace
    contents: Mapping[str, Contents]
    connectors: Callable[[int], Mapping[str, Connector]]
    learn: Callable[[int, str], Connector]
    entropy: Callable[[int], Entropy]
    tell: Callable[[], None]
    platters: Mapping[int, PlatterView]
    left: int = field(init=False)
    answered: int = 0
    erased: int = 0
    """Erasures that were acknowledged."""
    rows: ErasedRows = field(init=False)
    _told: dict[int, tuple[int, int]] = field(factory=dict)
    """By deed, where it lies in the stream."""
    _next: int = 0
    """Who is to be erased next."""
    _number: int = 0
    _made: trio.Event = field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self.left = self.options.erased_rows if self.options.erasing else 0
        watch = self.watch.watches[self.group]
        self.rows = ErasedRows(
            tenant=TENANT, database=DATABASE, columns=COLUMNS, subjects=SUBJECTS, contents=self.contents[self.group],
            verdict=self.verdict, machine=lambda number: self.cluster.machines[number],
            is_known=lambda number: number in self.platters and number not in watch.lost,
        )  # fmt: skip
        before = watch.ledger.on_erasure

        def hear(group: str, op: int, command: ErasureCommand, reply: Reply) -> None:
            if before is not None:
                before(group, op, command, reply)
            self.rows.hear(command, reply)

        watch.ledger.on_erasure = hear

    @property
    def is_on(self) -> bool:
        return self.options.erasing and self.options.erased_rows > 0

    @property
    def progress(self) -> float:
        """Of 1."""
        return 1.0 - self.left / self.options.erased_rows if self.is_on else 1.0

    @property
    def group(self) -> str:
        """Where the database lies."""
        return self.options.places.names[0]

    def close(self) -> None:
        self.rows.log.close()

    # Who writes and looks --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until all is done."""
        if not self.is_on:
            return
        client = Client(
            self.connectors(OFFICER), entropy=self.entropy(OFFICER), tenant=TENANT, retry_for=RETRY_SECONDS,
            connect_for=3600.0, learn=lambda address: self.learn(OFFICER, address),
        )  # fmt: skip
        async with client, trio.open_nursery() as nursery:
            for number in range(WRITERS):
                nursery.start_soon(self._work, number, client, draws(self.seed, f"rows {number}"))

    async def _work(self, number: int, client: Client, random: Random) -> None:
        who = f"w{number}"
        while number == 0 and not self._made.is_set():
            await self._visit(who, self._primary(), self._make)
            await trio.sleep(REST_SECONDS * random.random())
        await self._made.wait()
        while self.left > 0:
            self.left -= 1
            kind = random.choices(list(WORK), list(WORK.values()))[0]
            if kind == "erase":
                await self._erase(who, client)
            else:
                up = [machine for machine in self.cluster.up if self._holds(machine)]
                elsewhere = kind != "write" and up and random.random() < 0.7
                acts: dict[str, Callable[..., Awaitable[None]]]
                acts = {
                    "write": self._write, "look": self._look, "past": self._past, "history": self._history,
                    "differ": self._differ,
                }  # fmt: skip
                machine = random.choice(up) if elsewhere else self._primary()
                await self._visit(who, machine, lambda *at: acts[kind](*at, random))  # noqa: B023 - awaited at once
            await trio.sleep(REST_SECONDS * random.random())

    async def _visit(
        self, who: str, machine: Machine | None, act: Callable[[str, Machine, CrudDatabase], Awaitable[None]]
    ) -> None:
        """Do something inside a node, as long as it lives."""
        said = "nobody is there"
        if machine is not None:
            with living(machine):
                said = "ended"
                try:
                    await act(who, machine, await self._open(machine))
                    self.answered += 1
                    said = ""
                except (VerityError, SqliteError, trio.ClosedResourceError) as error:
                    said = f"{type(error).__name__}: {error}"
        self.trace.add(who, "visited", machine.name if machine is not None else "", said)
        self.tell()

    def _holds(self, machine: Machine) -> bool:
        return machine.node is not None and GroupId(self.group) in machine.node.groups

    def _primary(self) -> Machine | None:
        for machine in self.cluster.up:
            group = machine.node.groups.get(GroupId(self.group)) if machine.node is not None else None
            if group is not None and group.not_serving() is None:
                return machine
        return None

    async def _open(self, machine: Machine) -> CrudDatabase:
        assert machine.node is not None
        databases = machine.node.service.databases
        try:
            return await databases.open(TENANT, DATABASE)
        except UnknownDatabase:
            await databases.create(TENANT, DATABASE, DataClass.PHI, self.group, if_not_exists=True)
            return await databases.open(TENANT, DATABASE)

    async def _make(self, who: str, machine: Machine, database: CrudDatabase) -> None:
        session = await database.session()
        try:
            self._attribute(session, who)
            await apply_migrations(session, MIGRATIONS)
        finally:
            await database.end(session)
        self._made.set()

    def _attribute(self, session: SqlSession, who: str) -> int:
        self._number += 1
        session.attribution = Attribution(actor=who, purpose="charts", metadata={METADATA_KEY: str(self._number)})
        return self._number

    # Deeds -----------------------------------------------------------------------------------------------------

    async def _erase(self, who: str, client: Client) -> None:
        subject = SUBJECTS[self._next % len(SUBJECTS)]
        self._next += 1
        self.rows.asked[subject] = None
        said = ""
        try:
            await client.erase(subject, "asked for", group=self.group)
            self.erased += 1
        except VerityError as error:
            said = f"{type(error).__name__}: {error}"
        self.trace.add(who, "erase", subject, said)
        self.tell()

    def _subject(self, random: Random) -> str:
        gone = self._next and random.random() < ERASED_SHARE
        number = random.randrange(self._next) if gone else self._next + random.randrange(AT_A_TIME)
        return SUBJECTS[number % len(SUBJECTS)]

    async def _write(self, who: str, machine: Machine, database: CrudDatabase, random: Random) -> None:
        session = await database.session(lock_timeout=random.choice((0.3, 5.0)))
        try:
            number = self._attribute(session, who)
            await session.execute("BEGIN IMMEDIATE")
            for _ in range(random.choice((1, 2, 3, 6))):
                await self._say(session, random)
                if random.random() < 0.2:
                    await trio.sleep(REST_SECONDS * random.random())
            before = session.last_logged
            await session.execute("COMMIT")
            logged = session.last_logged
            if logged is not None and logged is not before:
                self._told[number] = logged.first_offset, logged.next_offset
        except SubjectErased as error:
            self.verdict.check("E10", bool(self.rows.asked), f"{who}: nobody asked for an erasure: {error}")
            raise
        finally:
            await database.end(session)

    async def _say(self, session: SqlSession, random: Random) -> None:
        subject, other = self._subject(random), self._subject(random)
        note = f"about {subject} {self._number} {random.randrange(10**6)}{'.' * random.choice((0, 0, 900))}"
        tag = f"tag {random.randrange(TAGS)}" if random.random() < 0.5 else None
        kind = random.choices(list(WRITES), list(WRITES.values()))[0]
        either = random.choice(("min", "max"))
        said: tuple[str, tuple[Any, ...]]
        match kind:
            case "visit":
                said = "INSERT OR IGNORE INTO visits(patient, tag, note) VALUES (?, ?, ?)", (subject, tag, note)
            case "replace":
                said = "REPLACE INTO visits(patient, tag, note) VALUES (?, ?, ?)", (subject, tag, note)
            case "patient":
                said = (
                    "INSERT INTO patients VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET note = excluded.note",
                    (subject, note),
                )
            case "update":
                said = "UPDATE visits SET note = ? WHERE patient = ?", (note, subject)
            case "move":
                which = f"(SELECT {either}(id) FROM visits WHERE patient = ?)"
                said = f"UPDATE visits SET patient = ?, note = ? WHERE id = {which}", (subject, note, other)
            case "delete":
                said = f"DELETE FROM visits WHERE id = (SELECT {either}(id) FROM visits WHERE patient = ?)", (subject,)
            case _:
                said = "INSERT INTO rooms(n) VALUES (?)", (random.randrange(100),)
        await session.execute(*said)

    async def _look(self, who: str, machine: Machine, database: CrudDatabase, random: Random) -> None:
        if machine is self._primary() and random.random() < 0.5:
            await database.wait_fresh()
        session = await database.session()
        try:
            place, found = await session._bridge.off_loop(lambda: (read_place(session.db), dump(session.db)))
            self.rows.check_rows(machine.number, f"{who} on {machine.who}", place.next_offset, found)
        finally:
            await database.end(session)

    async def _past(self, who: str, machine: Machine, database: CrudDatabase, random: Random) -> None:
        assert machine.node is not None
        offset = random.randrange(database.logged_offset + 1)
        end = self.rows.end_before(offset)
        as_of = await machine.node.service.databases.travel.as_of(database, offset=offset)
        try:
            if random.random() < 0.3:
                await trio.sleep(REST_SECONDS * random.random())
            found = await as_of.file.read(dump)
            name = f"{who} on {machine.who}, AS OF {offset}"
            self.verdict.check("E10", as_of.offset == end, f"{name} is said to be {as_of.offset}, and {end} is due")
            self.rows.check_rows(machine.number, name, as_of.offset, found)
        finally:
            await as_of.close()

    async def _history(self, who: str, machine: Machine, database: CrudDatabase, random: Random) -> None:
        assert machine.node is not None
        key, gone, head = random.randrange(1, 12), list(self.rows.applied(machine)), database.logged_offset
        travel = machine.node.service.databases.travel
        found = await travel.history(database, "visits", key, to_offset=head)
        self.rows.check_versions(f"{who} on {machine.who}", gone, key, head, found)
        if gone:
            subject = random.choice(gone)
            found = await travel.history(database, "patients", subject)
            self.rows.check_erased_versions(f"{who} on {machine.who}", subject, found)

    async def _differ(self, who: str, machine: Machine, database: CrudDatabase, random: Random) -> None:
        assert machine.node is not None
        gone = list(self.rows.acked.get(machine.number, {}))
        one, other = (random.randrange(database.logged_offset + 1) for _ in range(2))
        found = await machine.node.service.databases.travel.diff(database, one, other)
        self.rows.check_differences(f"{who} on {machine.who}", gone, found)

    # The end ---------------------------------------------------------------------------------------------------

    def lag(self) -> str:
        """E12: which erasure of an idle cluster is pending."""
        members = self.watch.watches[self.group].members
        for machine in self.cluster.up if self.is_on else ():
            if machine.number not in members or not self._holds(machine):
                continue
            assert machine.node is not None
            state = machine.node.groups[GroupId(self.group)].state
            for erasure in erasures_of(state, TENANT):
                if not erasure.completed:
                    pending = pending_nodes(state, erasure)
                    return f"{machine.name}: erasure {erasure.erasure} of rows is pending on {pending}"
        return ""

    async def read_back(self, *, forgiving: bool) -> None:
        """Look at each node once more. `forgiving`: an error is an honest answer."""
        if not self.is_on or not self.rows.log.catch_up():
            return
        random = draws(self.seed, "rows read back")
        past: list[Callable[..., Awaitable[None]]] = [self._past, self._history, self._differ]
        with trio.move_on_after(LOOK_SECONDS if forgiving else float("inf")):
            for machine in [machine for machine in self.cluster.up if self._holds(machine)]:
                for act in (self._look, *past * LAST_LOOKS):
                    await self._visit("w9", machine, lambda *at: act(*at, random))  # noqa: B023 - awaited at once

    def on_end(self, machine: Machine) -> None:
        """Of what an ended incarnation left."""
        if self.is_on and machine.config.region.name == self.group:
            self.rows.check_file(machine)

    def check_history(self) -> None:
        """E10, of what clients were told."""
        if self.is_on and self.verdict.ok:
            self.rows.check_log(self._told)
