"""What stands between a SQL session and its database where a policy, or the audit log, has a say: the keeper.

A session without one is its program's own affair. One that has it asks before each statement, and tells what it answers
before the answer leaves. `vdb.sql.warden` does both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from attrs import field, frozen

from vdb.audit.entry import ALL_SUBJECTS, AuditEntry
from vdb.changes import Attribution, RowChange, SchemaChange, Transaction
from vdb.errors import AccessDenied
from vdb.policy.words import Action
from vdb.sql.conditions import Bindings
from vdb.sql.rulings import Ruling
from vdb.wire.sql import subjects_of

SUBJECTS_MAX = 1000
"""Above so many an entry counts for everybody."""


@frozen(kw_only=True)
class Question:
    """What a statement does to one table."""

    action: Action
    table: str = ""
    """Empty: to the database as a whole."""
    columns: tuple[str, ...] = ()
    database: str = ""
    """Empty: the session's own; else another one of its tenant's, which is to be made."""
    plain: bool = False
    """The answer can't be restricted: a decision that shows some rows alone, or masks columns, denies it."""
    knows_subjects: bool = False
    """The table declares whose its rows are."""


@frozen(kw_only=True)
class Asked:
    """What was asked of a statement that writes, to be asked again when its transaction commits."""

    question: Question
    ruling: Ruling | None = None
    """None: no policy held."""
    makes: bool = False
    """The statement changes the schema."""

    @property
    def writes(self) -> bool:
        return self.question.action in WRITING


WRITING = (Action.APPEND, Action.SCHEMA)
UNASKED = Asked(question=Question(action=Action.APPEND))
"""Of a statement that ran as no policy held, and of which nobody knows what it would have been asked."""


@frozen(kw_only=True)
class Answered:
    """Rows that are about to leave, or what a statement has taken from tables."""

    action: Action
    statement: str = field(repr=False)
    tables: tuple[str, ...]
    subjects: tuple[str, ...] = field(repr=False)
    count: int
    digest: str
    """SHA-256 of the rows, hex."""
    rulings: tuple[Ruling, ...] = ()
    detail: tuple[tuple[str, str], ...] = ()


@frozen(kw_only=True)
class Written:
    """What is about to be appended."""

    actors: tuple[str, ...]
    """Whom the programs have named, of one transaction or several."""
    purposes: tuple[str, ...]
    tables: tuple[str, ...]
    rows: int
    subjects: tuple[str, ...] = field(repr=False)
    statements: tuple[str, ...] = field(repr=False)
    """Those that changed the schema."""
    rulings: tuple[Ruling, ...] = ()
    """By which it may be."""


class Keeper(Protocol):
    """Of one session. Its async methods run in the node's loop; the others from any thread."""

    @property
    def is_governed(self) -> bool:
        """Whether a policy has a say: else `ask` needn't be called."""

    @property
    def gives_receipts(self) -> bool:
        """Whether `record` must have returned before rows leave."""

    @property
    def key(self) -> str:
        """Sessions whose keepers have the same may run each other's statements."""

    def bindings(self, attribution: Attribution) -> Bindings:
        """What the parameters of row conditions stand for."""

    async def ask(self, questions: Sequence[Question], attribution: Attribution) -> Sequence[Ruling]:
        """A ruling for each, all of which allow something. AccessDenied, once the denial is in the audit log."""

    async def deny(self, rulings: Sequence[Ruling], table: str, why: str, attribution: Attribution) -> AccessDenied:
        """The error for what may not be written to a table, once it is in the audit log. Raises as `record` does."""

    async def record(self, answers: Sequence[Answered], attribution: Attribution) -> None:
        """Returns once receipts are committed. AuditUnavailable, NotPrimary, NotReady, PrimaryLost."""

    def note(self, written: Written) -> AuditEntry:
        """What the audit log is to say of an append."""


def named(subjects: Mapping[str, None], *, everybody: bool = False) -> tuple[str, ...]:
    """Whose data an entry is about."""
    return ALL_SUBJECTS if everybody or len(subjects) > SUBJECTS_MAX else tuple(subjects)


def written(
    transactions: Sequence[Transaction], subjects: Mapping[str, str], rulings: Iterable[Ruling] = ()
) -> Written:
    """What transactions do. `subjects`: the subject column of each table that has one, by its folded name."""
    tables: dict[str, None] = {}
    actors: dict[str, None] = {}
    purposes: dict[str, None] = {}
    names: dict[str, None] = {}
    statements: list[str] = []
    rows = 0
    for transaction in transactions:
        actors[transaction.attribution.actor] = None
        purposes[transaction.attribution.purpose] = None
        names |= subjects_of(transaction, subjects)
        for step in transaction.steps:
            if isinstance(step, RowChange):
                rows += 1
                tables[transaction.layouts[step.layout].table] = None
            elif isinstance(step, SchemaChange):
                statements.append(step.sql)
    everybody = "" in names
    names.pop("", None)
    return Written(
        actors=tuple(actor for actor in actors if actor),
        purposes=tuple(purpose for purpose in purposes if purpose),
        tables=tuple(tables),
        rows=rows,
        subjects=named(names, everybody=everybody),
        statements=tuple(statements),
        rulings=tuple(rulings),
    )
