"""Asks the keeper of a session before each statement, and makes receipts of what the statement gives.

    admission = await warden.admit(sql)       the text that runs, which may be another one than the user's
    rows, answered = warden.told(admission, description, rows)
    await keeper.record([answered], ...)      then the rows may leave

Rules
- What a statement touches is SQLite's own verdict, as long as the schema is the same.
- A statement of which some rows aren't shown, or columns are masked, runs restricted (`restricting`) and checked
  (`checking`). What can't be is refused; nothing runs as it is.
- Under a filter nothing makes objects that read for others (`asking`); views of the session's own are read through the
  filter.
- Migrations are asked for as a whole, and each of their statements as any other one. None of them runs restricted: it
  would be done by half, for everybody.
- Reading the schema begins the transaction's snapshot, which can't write once others have. So before a write it is read
  under the lease; and before the transaction, for statements that read nothing themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from attrs import evolve, field, frozen

from vdb.audit.entry import ALL_SUBJECTS
from vdb.changes import RawText
from vdb.errors import PolicyChanged, SqlRefused
from vdb.marks import mark
from vdb.policy.decide import Decision
from vdb.policy.words import Action, Mask
from vdb.ports import Connection
from vdb.projections.store import SqliteError
from vdb.sql.asking import Restricting, opened_by, questions_of, restricting, shows
from vdb.sql.checking import check, is_leaky
from vdb.sql.conditions import Bindings
from vdb.sql.generated import generated_from
from vdb.sql.host import Bridge
from vdb.sql.keeping import Answered, Keeper, Question, named
from vdb.sql.naming import Named, with_subjects
from vdb.sql.refusals import FUNCTION, is_own_name
from vdb.sql.restricting import Restriction, View, is_upsert, restrict
from vdb.sql.rulings import Ruling, branches_of, one_of
from vdb.sql.schema_change import has_replace
from vdb.sql.session import SqlSession
from vdb.sql.subjects import Subjects
from vdb.sql.tables import Table, fold, plain_cursor, read_table
from vdb.sql.touching import TELLING_PRAGMAS, Objects, Touched, is_nobodys, names_in, touched
from vdb.sql.verdict import StatementKind
from vdb.sql.written_rows import RowCheck
from vdb.wire.sql import subject_name

CACHE_SIZE = 256
_ASKED = (StatementKind.READ, StatementKind.WRITE, StatementKind.TEMP, StatementKind.SCHEMA, StatementKind.EXPLAIN)
_WRITES = (StatementKind.WRITE, StatementKind.SCHEMA)
_BEGINS = (StatementKind.BEGIN, StatementKind.SAVEPOINT)
_OBJECTS = "SELECT +type, +name, +sql FROM main.sqlite_master"
_TEMP_OBJECTS = "SELECT +type, +name, +sql FROM temp.sqlite_master"


@frozen(kw_only=True)
class Admission:
    """A statement that may run."""

    sql: str = field(repr=False)
    """The text that runs."""
    statement: str = field(repr=False)
    """The user's own."""
    action: Action = Action.QUERY
    tables: tuple[str, ...] = ()
    """Whose rows are read."""
    slots: tuple[str, ...] = ()
    """Columns of the result that name subjects, the last ones: not for the user."""
    questions: tuple[Question, ...] = ()
    rulings: tuple[Ruling, ...] = ()
    kind: StatementKind = StatementKind.EMPTY
    returns_rows: bool = False
    receipt: bool = False
    """Whether what it gives must be told before it leaves."""
    governed: bool = False
    """Whether a policy has been asked."""
    check: RowCheck | None = None
    """What the rows must be like that it writes."""


@frozen(kw_only=True)
class _Known:
    """What is known of a text while the schema is the same."""

    touched: Touched
    recorded: tuple[Any, ...]
    views: tuple[str, ...]
    """Through which it may read, folded."""
    named: Named | None
    strange: tuple[str, ...]
    """Functions of the program's that it calls."""
    opened: Mapping[str, tuple[str, ...]]
    """Tables that it lets others read past the rules, with their columns."""
    subjects: Mapping[str, str]
    """The subject columns of the database, by folded table."""


_Other = tuple[str, tuple[str, ...], RowCheck | None]
"""Another text, its slots, and what is to be looked at once it has run."""


class Warden:
    """Of one session. `past`: it reads the database as it was."""

    def __init__(self, session: SqlSession, keeper: Keeper, bridge: Bridge, *, past: bool = False) -> None:
        self.keeper = keeper
        self._session = session
        self._bridge = bridge
        self._read_action = Action.TIME_TRAVEL if past else Action.QUERY
        self._subjects = Subjects(session.db)
        self._objects: Objects | None = None
        self._texts: dict[str, _Known] = {}
        self._others: dict[tuple[Any, ...], _Other] = {}
        self._generation: object = None

    # Before ----------------------------------------------------------------------------------------------------

    async def admit(self, sql: str, *, names: bool = True, runs: bool = True, whole: bool = False) -> Admission:
        """What runs for a statement. AccessDenied, SqlRefused, DatabaseLocked, or what SQLite says of it.

        `names`: subjects are named behind its rows, where they can be. `runs`: it isn't just looked at. `whole`: it
        isn't restricted: where a policy would, it is denied.
        """
        governed = self.keeper.is_governed
        if not governed and not self.keeper.gives_receipts:
            return Admission(sql=sql, statement=sql)
        verdict = await self._session.verdict(sql)
        if verdict.kind in _BEGINS and not self._session.in_transaction:
            await self._bridge.off_loop(self._look_ahead)
        if verdict.kind not in _ASKED:
            if verdict.name in TELLING_PRAGMAS:
                await self.ask(self._read_action)
            return Admission(sql=sql, statement=sql, kind=verdict.kind, governed=governed)
        if runs and verdict.kind in _WRITES and self._session.in_transaction:
            await self._session.take_lease()
        known = await self._bridge.off_loop(lambda: self._known(sql))
        if verdict.kind in (StatementKind.TEMP, StatementKind.SCHEMA):
            self._generation = None  # it may change what names mean
        if self.keeper.is_governed:
            for table in known.touched.reads:
                if fold(table).removeprefix("pragma_") in TELLING_PRAGMAS:
                    await self.ask(self._read_action)
                if is_leaky(fold(table)):
                    raise SqlRefused(f"table {table} is refused: rows of other tables may be found in it")
        questions = questions_of(
            sql, verdict, known.touched, self._read_action, opened=known.opened, subjects=known.subjects
        )
        if whole:
            questions = [evolve(question, plain=True) for question in questions]
        rulings = await self._ask(questions) if questions else ()
        reads = tuple(known.touched.reads)
        admission = Admission(
            sql=sql,
            statement=sql,
            action=self._read_action,
            kind=verdict.kind,
            returns_rows=verdict.returns_rows,
            tables=reads,
            questions=tuple(questions),
            rulings=tuple(rulings),
            governed=governed,
            receipt=bool(reads) and self.keeper.gives_receipts and verdict.kind is not StatementKind.EXPLAIN,
        )
        if verdict.kind is StatementKind.EXPLAIN:
            return admission
        restricted = restricting(questions, rulings)
        naming = known.named if admission.receipt and names else None
        if not restricted and naming is None:
            return admission
        return await self._bridge.off_loop(lambda: self._other(admission, known, naming, restricted))

    async def _ask(self, questions: Sequence[Question]) -> Sequence[Ruling]:
        if not self.keeper.is_governed:
            return ()
        attribution = self._session.attribution
        return await self._bridge.on_loop(lambda: self.keeper.ask(questions, attribution))

    async def ask_again(self, admission: Admission) -> None:
        """Before more of a statement's rows leave. AccessDenied, or PolicyChanged if others would be shown now."""
        self.check_still(admission)
        now = await self._ask(admission.questions) if admission.questions else ()
        if shows(now) != shows(admission.rulings):
            raise PolicyChanged("another policy holds since the statement was run, and shows other rows: run it again")

    def check_still(self, admission: Admission) -> None:
        """PolicyChanged where there is a policy now, and the statement was run without one. In any thread."""
        if self.keeper.is_governed and not admission.governed:
            mark("sql.first_policy_met")
            raise PolicyChanged("a policy holds that didn't when the statement was run: run it again")

    async def ask(self, action: Action, table: str = "") -> tuple[Ruling, ...]:
        """AccessDenied unless this may be done to all rows and columns of a table, or of the whole database."""
        if not self.keeper.is_governed:
            return ()
        found = await self._bridge.off_loop(self._tables)
        if table:
            found = {name: columns for name, columns in found.items() if fold(name) == fold(table)}
        asked = [Question(action=action, table=name, columns=found[name], plain=True) for name in found]
        rulings = await self._ask([Question(action=action, plain=True), *asked] if not table else asked)
        if table and not found:
            raise SqlRefused(f"there is no table {table}: where a policy has a say, nothing else can be asked for")
        return tuple(rulings)

    async def ask_to_make(self, database: str) -> None:
        """AccessDenied unless a database of this name may be made, of the same class as this one."""
        await self._ask([Question(action=Action.CREATE, database=database)])

    async def check_known(self, tables: Sequence[str]) -> None:
        """SqlRefused for tables that the database hasn't now: nobody was asked about them."""
        if self.keeper.is_governed:
            found = {fold(name): None for name in await self._bridge.off_loop(self._tables)}
            gone = [table for table in tables if fold(table) not in found and not is_nobodys(fold(table))]
            if gone:
                raise SqlRefused(f"table {gone[0]} isn't there any more: the policy can't be asked about it")

    async def subject_columns(self) -> Mapping[str, str]:
        """The column of each table that says whose data a row is, by the table's folded name."""

        def read() -> Mapping[str, str]:
            with self._session.classifier.trusting():
                self._subjects.forget()
                return self._subjects.columns()

        return await self._bridge.off_loop(read)

    def _subject_columns(self) -> Mapping[str, str]:
        """None while a column that was declared isn't there, as within a migration that builds its table anew: whose
        rows these are isn't known."""
        try:
            return self._subjects.columns()
        except SqlRefused:
            return {}

    # In SQLite ---------------------------------------------------------------------------------------------------

    def _renew(self) -> None:
        """Forget what is known of another schema."""
        generation = self._session.generation
        if generation != self._generation:
            self._generation = generation
            self._objects = None
            self._texts, self._others = {}, {}
            self._subjects.forget()

    def _look_ahead(self) -> None:
        self._renew()
        with self._session.classifier.trusting():
            self._schema()

    def _known(self, sql: str) -> _Known:
        self._renew()
        known = self._texts.get(sql)
        if known is None:
            with self._session.classifier.trusting():
                objects = self._schema()
                names = names_in(sql, objects)
                mine = self._session.classifier.user_functions()
                for name in names:
                    if is_own_name(name) and not is_nobodys(name):
                        raise SqlRefused(f"the name {name} is refused: names that begin so are VerityDB's own")
                recorded = self._session.classifier.record(sql)
                found = touched(recorded, objects, names)
                naming, subjects = None, self._subject_columns() if not found.is_nothing else {}
                views = tuple(name for name in names if name in objects.views)
                strange = tuple(name for name in found.functions if name.lower() in mine)
                opened = self._columns_of(opened_by(sql, names, objects))
                if found.reads and not strange and not found.writes and not views and not found.reads_temporary:
                    naming = with_subjects(sql, tuple(found.reads), subjects, found.functions)
            known = _Known(
                touched=found,
                recorded=recorded,
                views=views,
                named=naming,
                strange=strange,
                opened=opened,
                subjects=subjects,
            )
            if len(self._texts) >= CACHE_SIZE:
                self._texts.clear()
            if not found.reads_temporary:
                self._texts[sql] = known
        return known

    def _tables(self) -> dict[str, tuple[str, ...]]:
        """All tables that hold somebody's rows, with their columns."""
        with self._session.classifier.trusting():
            names = [name for _, name, _ in _rows(self._session.db, f"{_OBJECTS} WHERE type = 'table'")]
            return self._columns_of(names)

    def _columns_of(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The columns of those among these tables that hold somebody's rows."""
        cursor = plain_cursor(self._session.db)
        tables = [read_table(cursor, name) for name in names if not is_nobodys(fold(name))]
        return {table.name: table.readable for table in tables if table is not None}

    def _schema(self) -> Objects:
        """Read anew where there are TEMP objects: a rollback may have taken them."""
        found = self._objects
        if found is None or found.temporary:
            main = _rows(self._session.db, _OBJECTS)
            temporary = _rows(self._session.db, _TEMP_OBJECTS)
            temporary = [row for row in temporary if not row[1].lower().startswith("vdb_")]
            views = {fold(name): sql for kind, name, sql in (*main, *temporary) if kind == "view"}
            found = self._objects = Objects(
                tables={fold(name): name for kind, name, _ in main if kind == "table"},
                views=views,
                triggers={fold(name): None for kind, name, _ in main if kind == "trigger"},
                generated={fold(name): generated_from(sql) for kind, name, sql in main if kind == "table" and sql},
                replacing={fold(name): None for kind, name, sql in main if kind == "table" and has_replace(sql or "")},
                temporary={fold(name): None for kind, name, _ in temporary if kind in ("table", "view")},
            )
        return found

    def _other(self, admission: Admission, known: _Known, naming: Named | None, restricted: Restricting) -> Admission:
        """The admission with the text that runs instead."""
        bindings = self.keeper.bindings(self._session.attribution)
        key = (
            admission.statement,
            naming is not None,
            bindings,
            *((table, action, one.key) for table, some in restricted for action, one in some),
        )
        other = self._others.get(key)
        if other is None:
            with self._session.classifier.trusting():
                restrictions = self._restrictions(restricted, bindings, known.subjects)
                other = self._make_other(admission, known, naming, restrictions)
            if len(self._others) >= CACHE_SIZE:
                self._others.clear()
            if not known.touched.reads_temporary:
                self._others[key] = other
        sql, slots, check = other
        return evolve(admission, sql=sql, slots=slots, check=check)

    def _make_other(
        self, admission: Admission, known: _Known, naming: Named | None, restrictions: Mapping[str, Restriction]
    ) -> _Other:
        if naming is not None and any(
            table in restrictions and fold(column) in restrictions[table].masks for table, column in naming.columns
        ):
            naming = None
        if naming is not None:
            try:
                sql, check = self._checked(naming.sql, known, restrictions)
                return sql, naming.slots, check
            except SqliteError:
                mark("sql.subjects_unnamed")
        sql, check = self._checked(admission.statement, known, restrictions)
        return sql, (), check

    def _checked(self, sql: str, known: _Known, restrictions: Mapping[str, Restriction]) -> tuple[str, RowCheck | None]:
        """The text that may run: restricted and checked, if anything is."""
        found, classifier = known.touched, self._session.classifier
        if not restrictions:
            classifier.record(sql)
            return sql, None
        assert self._objects is not None
        views = [View(name=name, sql=self._objects.views[name]) for name in known.views if name in self._objects.views]
        functions = (*found.functions, *(f"the program's {name}" for name in known.strange))
        restricted = restrict(sql, list(restrictions.values()), views, functions=functions, target=found.target)
        check(
            restricted,
            restrictions,
            asked=known.recorded,
            found=classifier.record(restricted.fenced, restricted.sources),
            alone=classifier.record(restricted.alone, restricted.sources),
            triggers=found.triggers,
            strange=classifier.user_functions(),
        )
        return restricted.sql, self._row_check(sql, restrictions.get(restricted.target))

    def _row_check(self, sql: str, target: Restriction | None) -> RowCheck | None:
        """What is to be looked at once a statement has written this table. SqlRefused where the program says what a
        condition means."""
        if target is None:
            return None
        shown = (*target.conditions, *target.kept)
        check = RowCheck(table=target.table, new=target.kept, old=shown if is_upsert(sql) else ())
        mine, record = self._session.classifier.user_functions(), self._session.classifier.record
        for action in (action for text in check.texts() for action in record(text)):
            if action[0] == FUNCTION and (action[2] or "").lower() in mine:
                raise SqlRefused(f"the filter calls {action[2]}, for which the program has put one of its own")
        return check if check.new or check.old else None

    def _restrictions(
        self, restricted: Restricting, bindings: Bindings, subjects: Mapping[str, str]
    ) -> dict[str, Restriction]:
        """By folded table."""
        made: dict[str, Restriction] = {}
        cursor = plain_cursor(self._session.db)
        for name, rulings in restricted:
            table = read_table(cursor, name)
            if table is None:
                raise SqlRefused(f"{name} is no table whose rows can be filtered")
            parts = [
                (action, branches_of(one, table.name, subjects.get(fold(name), ""), bindings, partial(_masks, table)))
                for action, one in rulings
            ]
            shown = [branches for action, branches in parts if action is not Action.APPEND]
            kept = [branches for action, branches in parts if action is Action.APPEND]
            assert self._objects is not None
            found = Restriction(
                table=table,
                replaces=fold(name) in self._objects.replacing,
                conditions=tuple(filter(None, dict.fromkeys(map(one_of, shown)))),
                kept=tuple(filter(None, dict.fromkeys(map(one_of, kept)))),
                masks={name: mask for branches in shown for branch in branches for name, mask in branch.masks.items()},
                apart=tuple(branches for branches in shown if len(branches) > 1),
            )
            if found.conditions or found.kept or found.masks:
                made[fold(name)] = found
        return made

    # After -----------------------------------------------------------------------------------------------------

    def told(
        self,
        admission: Admission,
        description: Sequence[Sequence[Any]],
        rows: list[tuple[Any, ...]],
        *,
        names: bool = True,
    ) -> tuple[list[tuple[Any, ...]], Answered | None]:
        """The rows for the user, and the receipt that must be committed before they leave; None: none is."""
        slots = len(admission.slots)
        if not admission.receipt:
            assert not slots
            return rows, None
        subjects: tuple[str, ...] = ALL_SUBJECTS
        if slots:
            assert tuple(column[0] for column in description[-slots:]) == admission.slots
            found = [[value for value in row[-slots:] if value is not None] for row in rows]
            # Nobody can say whose a row is that names nobody.
            everybody = not names or not all(found)
            subjects = named({subject_name(value): None for some in found for value in some}, everybody=everybody)
            rows = [row[:-slots] for row in rows]
        return rows, Answered(
            action=admission.action,
            statement=admission.statement,
            tables=admission.tables,
            subjects=subjects,
            count=len(rows),
            digest=digest_of(rows),
            rulings=admission.rulings,
        )


def digest_of(rows: Sequence[Sequence[Any]]) -> str:
    """SHA-256 of rows, hex: of their values as MessagePack arrays."""
    return hashlib.sha256(_ENCODER.encode(rows)).hexdigest()


def _plain(value: Any) -> bytes:
    return value.data if isinstance(value, RawText) else bytes(value)


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_plain)


def _masks(table: Table, decision: Decision) -> dict[str, Mask]:
    """By folded column. A name with another table's is that one's."""
    found: dict[str, Mask] = {}
    for name, mask in decision.masks.items():
        of, _, column = name.rpartition(".")
        if (not of or fold(of) == fold(table.name)) and any(fold(column) == fold(one) for one in table.readable):
            found[fold(column)] = mask
    return found


def _rows(db: Connection, sql: str) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = plain_cursor(db).execute(sql).fetchall()
    return rows
