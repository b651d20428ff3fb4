"""What a session does for its keeper, if it has one: asks before a statement, tells before rows leave.

Rules
- Rows that were read leave once their receipt is committed. If it can't be, they don't.
- A statement outside of a transaction that writes and returns rows is committed when they are there: so its receipt is
  committed before it runs, and counts for everybody. What it changed, its note in the audit log says.
- What a statement takes from tables into TEMP ones counts as read when it is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve

from vdb.audit.entry import ALL_SUBJECTS
from vdb.changes import Value
from vdb.policy.words import Action
from vdb.sql.hiding import without_own
from vdb.sql.host import Bridge
from vdb.sql.keeping import UNASKED, Answered, Asked, Keeper, named
from vdb.sql.results import Result
from vdb.sql.rulings import Ruling
from vdb.sql.session import SqlSession
from vdb.sql.tables import fold
from vdb.sql.verdict import StatementKind
from vdb.sql.warden import Admission, Warden, digest_of
from vdb.sql.written_rows import UnfitRows
from vdb.wire.sql import subject_name

Row = tuple[Any, ...]
TableImage = tuple[str, Mapping[str, Value] | None]
"""A row as it was, by the names of its columns, and its table."""


class Governor:
    """Of one session. Without a keeper everything is admitted as it is, and nobody is told."""

    def __init__(self, session: SqlSession, bridge: Bridge, keeper: Keeper | None, *, past: bool = False) -> None:
        self.keeper = keeper
        self._session = session
        self._bridge = bridge
        self._warden = None if keeper is None else Warden(session, keeper, bridge, past=past)
        self._asked: tuple[Ruling, ...] = ()
        """What `ask` was answered last."""
        if keeper is not None:
            session.keeper = keeper

    @property
    def gives_receipts(self) -> bool:
        """Whether rows leave once their receipt is committed."""
        return self.keeper is not None and self.keeper.gives_receipts

    async def admit(
        self, sql: str, *, rows: bool = True, names: bool = True, runs: bool = True, whole: bool = False
    ) -> Admission:
        """What runs for a statement. `rows`: what it returns leaves. `names`: its receipt names subjects. `runs`: it
        isn't just looked at. `whole`: it runs as it is, or not at all."""
        if self._warden is None:
            return Admission(sql=without_own(sql) if runs else sql, statement=sql)
        self._session.settings[_KEPT] = self._warden.keeper.key  # the connection may have shown another credential
        admission = await self._warden.admit(sql, names=names, runs=runs, whole=whole)
        if runs and not whole:
            admission = await self._without_own(self._warden, admission, names=names)
        if runs:
            self._remember(admission)
        if not admission.receipt:
            return admission
        kind = admission.kind
        if kind is StatementKind.READ and rows:
            return admission
        leaves = rows and admission.returns_rows
        if leaves and self._session.in_transaction:
            return admission
        if leaves or kind is StatementKind.TEMP:
            await self.record([_before(admission)])
        return evolve(admission, receipt=False)

    async def _without_own(self, warden: Warden, admission: Admission, *, names: bool) -> Admission:
        """The same, which sees of the schema what programs made there (`hiding`). Under a policy the other text is
        asked for as well; one that runs restricted stays as it is."""
        shown = without_own(admission.sql)
        if shown is admission.sql or (admission.governed and admission.sql != admission.statement):
            return admission
        if not admission.governed:
            return evolve(admission, sql=shown)
        return evolve(await warden.admit(shown, names=names), statement=admission.statement)

    def _remember(self, admission: Admission) -> None:
        """By which rulings it writes, for the note of what the transaction appends, and to ask again then."""
        session = self._session
        if not session.in_transaction:
            session.keeping.asked.clear()
        found = asked_of(admission)
        session.keeping.asked += [one for one in found if one not in session.keeping.asked]

    async def admit_migrating(self, sql: str) -> str:
        """What runs for a statement of a migration, whose rows nobody sees: the statement itself, or nothing."""
        return (await self.admit(sql, rows=False, names=False, whole=True)).sql

    async def ask_again(self, admission: Admission) -> None:
        """Before more of a statement's rows leave. AccessDenied, PolicyChanged."""
        if self._warden is not None:
            await self._warden.ask_again(admission)

    async def execute(self, admission: Admission, parameters: Any, *, many: bool = False) -> Result:
        """Run what was admitted. AccessDenied, with nothing of it done, where it writes rows that may not be."""
        session = self._session
        session.keeping.check = admission.check
        if many and admission.check is not None:
            parameters = list(parameters)  # they may be wanted twice
        try:
            return await (session.executemany if many else session.execute)(admission.sql, parameters)
        except UnfitRows as error:
            keeper, check, why = self.keeper, admission.check, str(error)
            assert keeper is not None
            assert check is not None
            table, attribution = check.table.name, session.attribution
            raise await self._bridge.on_loop(lambda: keeper.deny(admission.rulings, table, why, attribution)) from None
        finally:
            session.keeping.check = None

    def check_still(self, admission: Admission) -> None:
        """PolicyChanged where a first policy holds since. In any thread."""
        if self._warden is not None:
            self._warden.check_still(admission)

    def receipt(
        self, admission: Admission, result: Result, rows: list[Row], *, names: bool = True
    ) -> tuple[list[Row], list[Answered]]:
        """The caller's part of rows, and the receipt for `record`, if there is to be one. `names`: of subjects."""
        if self._warden is None or result.description is None:
            return rows, []
        rows, answered = self._warden.told(admission, result.description, rows, names=names)
        return rows, [] if answered is None else [answered]

    async def told(self, admission: Admission, result: Result, rows: list[Row], *, names: bool = True) -> list[Row]:
        """The caller's part of rows, once they may leave."""
        rows, answered = self.receipt(admission, result, rows, names=names)
        await self.record(answered)
        return rows

    async def record(self, answered: Sequence[Answered]) -> None:
        """Returns once these are committed."""
        keeper = self.keeper
        if keeper is not None and answered:
            attribution = self._session.attribution
            await self._bridge.on_loop(lambda: keeper.record(answered, attribution))

    async def ask(self, action: Action, table: str = "") -> None:
        """AccessDenied unless this may be done to all of a table, or of the database."""
        if self._warden is not None:
            self._asked = await self._warden.ask(action, table)

    async def ask_to_restore(self, name: str) -> None:
        """AccessDenied unless all of the past may be seen, and a database of this name be made."""
        if self._warden is not None:
            self._asked = await self._warden.ask(Action.TIME_TRAVEL)
            await self._warden.ask_to_make(name)

    async def tell(self, what: str, images: Sequence[TableImage]) -> None:
        """Commit a receipt for what isn't the rows of a statement: images of rows, with their tables."""
        if self._warden is None or self.keeper is None:
            return
        tables = tuple(dict.fromkeys(table for table, _ in images))
        await self._warden.check_known(tables)
        if not self.keeper.gives_receipts:
            return
        columns = await self._warden.subject_columns()
        rows = [(table, image) for table, image in images if image is not None]
        names = {_subject_in(image, columns.get(fold(table), "")): None for table, image in rows}
        everybody = not rows or "" in names
        answered = Answered(
            action=Action.TIME_TRAVEL,
            statement=what,
            tables=tables,
            subjects=named(names, everybody=everybody),
            count=len(rows),
            digest=digest_of([list(image.values()) for _, image in rows]),
            rulings=self._asked,
        )
        await self.record([answered])


_KEPT = "\0keeper"
"""Among a session's settings: sessions that aren't kept alike don't run each other's statements."""


def _subject_in(image: Mapping[str, Value], column: str) -> str:
    """Whose a row is; empty: nobody can say."""
    value = next((value for name, value in image.items() if fold(name) == fold(column)), None)
    return subject_name(value)


_MAY_WRITE = (StatementKind.EMPTY, StatementKind.WRITE, StatementKind.SCHEMA)
"""EMPTY: nobody has looked what the statement is."""


def asked_of(admission: Admission) -> list[Asked]:
    """What is asked again when a statement's transaction commits: what it writes, and what it must see of that."""
    if not admission.governed and not admission.questions:
        return [UNASKED] if admission.kind in _MAY_WRITE else []
    rulings = admission.rulings or (None,) * len(admission.questions)
    found = [
        Asked(question=question, ruling=ruling) for question, ruling in zip(admission.questions, rulings, strict=True)
    ]
    if any(one.question.action is Action.SCHEMA for one in found):
        return [evolve(one, makes=True) for one in found]
    tables = {fold(one.question.table): None for one in found if one.writes}
    return [one for one in found if one.writes or fold(one.question.table) in tables]


def _before(admission: Admission) -> Answered:
    return Answered(
        action=admission.action,
        statement=admission.statement,
        tables=admission.tables,
        subjects=ALL_SUBJECTS,
        count=0,
        digest="",
        rulings=admission.rulings,
    )
