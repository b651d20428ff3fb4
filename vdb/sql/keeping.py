"""What stands between a SQL session and its database where a policy, or the audit log, has a say: the keeper.

A session without one is its program's own affair. One that has it asks before each statement, and tells what it answers
before the answer leaves. `vdb.sql.warden` does both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import field, frozen

from vdb.changes import Attribution
from vdb.policy.decide import Decision
from vdb.policy.words import Action
from vdb.sql.conditions import Bindings


@frozen(kw_only=True)
class Question:
    """What a statement does to one table."""

    action: Action
    table: str = ""
    """Empty: to the database as a whole."""
    columns: tuple[str, ...] = ()
    plain: bool = False
    """The answer can't be restricted: a decision that shows some rows alone, or masks columns, denies it."""


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
    decisions: tuple[Decision, ...] = ()
    detail: tuple[tuple[str, str], ...] = ()


@frozen(kw_only=True)
class Written:
    """A transaction that is about to be appended."""

    attribution: Attribution
    tables: tuple[str, ...]
    count: int
    """Rows."""
    subjects: tuple[str, ...] = field(repr=False)
    statements: tuple[str, ...] = field(default=(), repr=False)
    schema: bool = False
    """It changes the schema."""


class Keeper(Protocol):
    """Of one session. Its async methods run in the node's loop; the others from any thread."""

    @property
    def is_governed(self) -> bool:
        """Whether a policy has a say: else `ask` needn't be called."""

    @property
    def gives_receipts(self) -> bool:
        """Whether `record` must have returned before rows leave."""

    @property
    def version(self) -> object:
        """Another one whenever `ask` may answer otherwise; equal ones say nothing of that."""

    def bindings(self, attribution: Attribution) -> Bindings:
        """What the parameters of row conditions stand for."""

    async def ask(self, questions: Sequence[Question], attribution: Attribution) -> Sequence[Decision]:
        """A decision for each, all of which allow. AccessDenied, once the denial is in the audit log."""

    async def record(self, answers: Sequence[Answered], attribution: Attribution) -> None:
        """Returns once receipts are committed. AuditUnavailable, NotPrimary, NotReady, PrimaryLost."""

    def note(self, written: Sequence[Written]) -> object | None:
        """What the audit log is to say of an append, for the log; None: nothing."""
