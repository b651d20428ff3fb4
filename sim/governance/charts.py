"""Clinicians who read and write a SQL database under the policy, inside the simulated nodes: what they see is what it
shows them by hand.

- G7: the rows that somebody sees are those of ward A, with their notes hidden, and those of subjects who have consented
  to the purpose or for whom that person has broken the glass, as they are: at some op while the statement ran. All of
  them before the first policy is in the region.
- G8: what the policy denies isn't done: rows of another ward aren't written, and no migration copies what is hidden.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from random import Random

import trio
from attrs import define, field, frozen

from sim.checkers.governed import Governed
from sim.cluster import Cluster
from sim.governance.load import FIRST, OFFICERS, SUBJECTS, GovernanceLoad, principal
from sim.inside import living
from sim.machine import Machine
from sim.verdict import Verdict
from vdb.changes import Attribution
from vdb.errors import AccessDenied, VerityError
from vdb.kernel.command import KeyScope
from vdb.node.crud.asked_session import AskedSession
from vdb.node.gate.caller import Caller, Credential
from vdb.node.gate.guard import Guard
from vdb.node.replication.group import Group
from vdb.policy.decide import Principal
from vdb.projections.store import SqliteError
from vdb.sql.answers import SqlCall, SqlStatement
from vdb.sql.migrations import apply_migrations, load_migrations
from vdb.types import DataClass, GroupId, TenantId

TENANT, DATABASE = 1, "charts"
PURPOSES = ("TREAT", "HRESCH", "HRESCH", "BTG", "BTG")
REST_SECONDS = 0.3
READS_MIN, VISITS_MAX = 4, 60
PATIENCE_SECONDS = 5.0

Row = tuple[str, str | None]
ROWS = tuple(
    (f"{subject or 'nobody'}-{ward}", subject, ward, f"note of {subject or 'nobody'} in {ward}")
    for subject in (*SUBJECTS, "stranger", None)
    for ward in ("A", "B")
)
_VALUES = ", ".join(
    f"('{row}', {'NULL' if subject is None else repr(subject)}, '{ward}', '{note}')"
    for row, subject, ward, note in ROWS
)
MIGRATIONS = {
    "0001_charts.sql": f"""
-- vdb: subject charts.subject
CREATE TABLE charts (id TEXT PRIMARY KEY, subject TEXT, ward TEXT, note TEXT);
CREATE TABLE inbox (id INTEGER PRIMARY KEY, ward TEXT);
INSERT INTO charts VALUES {_VALUES};
"""
}
READS = (
    "SELECT id, note FROM charts",
    "SELECT a.id, b.note FROM charts AS a JOIN charts AS b USING (id)",
    "WITH c AS (SELECT * FROM charts) SELECT id, note FROM c WHERE id IN (SELECT id FROM charts)",
)
DENIED = (
    "INSERT INTO inbox (ward) VALUES ('B')",
    "INSERT INTO inbox (ward) VALUES ('A'), ('B')",
    "INSERT INTO inbox (id, ward) VALUES (1, 'A'), (1, 'A') ON CONFLICT DO UPDATE SET ward = 'B' RETURNING id",
    "CREATE TABLE copied AS SELECT * FROM charts",
)
COPIES = {**MIGRATIONS, "0002_copy.sql": "CREATE TABLE copied AS SELECT * FROM charts"}


@frozen
class _Moment:
    """When a statement may have been judged."""

    op: int
    time: int


@define(eq=False, kw_only=True)
class Charts:
    """The database, as all of its readers know it."""

    load: GovernanceLoad
    cluster: Cluster
    governed: Governed
    verdict: Verdict
    made: trio.Event = field(factory=trio.Event)

    @property
    def group(self) -> GroupId:
        return GroupId(self.load.options.places.names[0])

    def primary(self) -> Machine | None:
        """Who leads the group."""
        for machine in self.cluster.up:
            group = machine.node.groups.get(self.group) if machine.node is not None else None
            if group is not None and machine.node._service is not None and group.not_serving() is None:  # type: ignore[union-attr]
                return machine
        return None

    def is_governed(self, group: Group, op: int) -> bool:
        """Whether the region has a policy; the first one may come there a while after it was applied."""
        return self.governed.policy_at(str(group.name), op) is not None

    def shown(self, group: Group, person: str, purpose: str, moment: _Moment) -> list[Row]:
        """The rows that somebody may see, by the log."""
        if not self.is_governed(group, moment.op):
            return sorted((row, note) for row, _, _, note in ROWS)
        lookups = {subject: group.keyring.lookup(TenantId(TENANT), KeyScope.SUBJECT, subject) for subject in SUBJECTS}
        consents = self.governed.consents_at(str(group.name), moment.op)
        grants = [
            grant
            for (tenant, _), grant in self.governed.grants_at(str(group.name), moment.op).items()
            if tenant == TENANT and grant.principal == person and moment.time < grant.until_at(moment.op)
        ]
        broken = [grant.subject for grant in grants] if purpose == "BTG" else []
        whole = [
            subject
            for subject, lookup in lookups.items()
            if lookup in broken or (purpose == "HRESCH" and _lasts(consents.get((TENANT, lookup), {}), moment))
        ]
        everything = any(not subject for subject in broken)
        found: list[Row] = []
        for row, subject, ward, note in ROWS:
            if everything or subject in whole:
                found.append((row, note))
            elif ward == "A":
                found.append((row, None))
        return sorted(found)


def _lasts(purposes: Mapping[str, int], moment: _Moment) -> bool:
    until = purposes.get("HRESCH")
    return until is not None and (until == 0 or moment.time < until)


@define(eq=False, kw_only=True)
class ChartReader:
    """One clinician. The first makes the database. Each reads a few times, or has tried to, before the run ends."""

    charts: Charts
    number: int
    random: Random
    reads: int = 0
    visits: int = 0

    @property
    def person(self) -> str:
        return principal(FIRST + OFFICERS + self.number)

    async def run(self) -> None:
        """Until all deeds of the workload are done."""
        charts, load = self.charts, self.charts.load
        await load.made.wait()
        while load.left > 0 or (self.reads < READS_MIN and self.visits < VISITS_MAX):
            self.visits += 1
            machine = charts.primary()
            if machine is not None and (self.number == 0 or charts.made.is_set()):
                await self._visit(machine)
            await trio.sleep(REST_SECONDS * self.random.random())

    async def _visit(self, machine: Machine) -> None:
        with living(machine), trio.move_on_after(PATIENCE_SECONDS):
            try:
                if not self.charts.made.is_set():
                    await self._make(machine)
                await self._use(machine)
            except (VerityError, SqliteError, trio.ClosedResourceError) as error:
                self.charts.load.trace.add(self.person, "charts left", type(error).__name__, str(error))
            except Exception as error:
                if machine.is_alive():
                    text = "".join(traceback.format_exception(error)[-6:])
                    kind = "assertion" if isinstance(error, AssertionError) else "error"
                    self.charts.verdict.fail(kind, f"a reader of charts on {machine.name}: {error}\n{text}")

    async def _make(self, machine: Machine) -> None:
        assert machine.node is not None
        databases = machine.node.service.databases
        await databases.create(TENANT, DATABASE, DataClass.PHI, str(self.charts.group), if_not_exists=True)
        database = await databases.open(TENANT, DATABASE)
        session = await database.session()
        try:
            await apply_migrations(session, load_migrations(MIGRATIONS))
        finally:
            await database.end(session)
        self.charts.made.set()

    async def _use(self, machine: Machine) -> None:
        assert machine.node is not None
        caller = Caller(principal=Principal(name=self.person, mfa=True), credential=Credential.MTLS)
        sessions = Guard(machine.node.service, caller).sql
        session = await sessions.open(TENANT, DATABASE, attribution=Attribution(), lock_seconds=1.0)
        try:
            for _ in range(self.random.randrange(1, 6)):
                if self.random.random() < 0.75:
                    await self._read(machine, session)
                else:
                    await self._try_what_is_denied(machine, session)
        finally:
            await sessions.close(session)

    async def _read(self, machine: Machine, session: AskedSession) -> None:
        charts = self.charts
        assert machine.node is not None
        group = machine.node.groups[charts.group]
        purpose, sql = self.random.choice(PURPOSES), self.random.choice(READS)
        before = _Moment(group.applied, group.time_us)
        call = SqlCall(attribution=Attribution(purpose=purpose))
        answer = await session.execute(call, SqlStatement(sql=sql), 0)
        after = _Moment(group.applied, group.time_us)
        self.reads += 1
        rows = sorted((str(row), None if note is None else str(note)) for row, note in answer.rows)
        moments = [_Moment(op, time) for op in range(before.op, after.op + 1) for time in (before.time, after.time)]
        charts.verdict.check(
            "G7",
            any(rows == charts.shown(group, self.person, purpose, moment) for moment in moments),
            f"{self.person} sees {rows} for {purpose} at ops {before.op} to {after.op}, due is "
            f"{charts.shown(group, self.person, purpose, after)}",
        )
        charts.load.trace.add(self.person, "charts", purpose, len(rows))

    async def _try_what_is_denied(self, machine: Machine, session: AskedSession) -> None:
        assert machine.node is not None
        group = machine.node.groups[self.charts.group]
        governed = self.charts.is_governed(group, group.applied)
        sql = self.random.choice((*DENIED, ""))
        call = SqlCall(attribution=Attribution(purpose="TREAT"))
        try:
            if sql:
                await session.execute(call, SqlStatement(sql=sql), 0)
            else:
                await session.migrate(call, COPIES)
        except AccessDenied:
            self.charts.load.trace.add(self.person, "charts denied", sql)
        else:
            done = sql or "a migration"
            self.charts.verdict.check("G8", not governed, f"{self.person} did what the policy denies: {done}")
