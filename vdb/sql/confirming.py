"""What a transaction has written is asked for again when it commits: as the policy, consents and glasses are then.

A statement is admitted when it runs; its transaction may stay open for long, or wait for the lease. So before it is
appended the keeper is asked what it was asked of the statements that wrote:

    denied now                 nothing of the transaction is kept, and AccessDenied says why
    other rows may be written  likewise, unless that concerns subjects alone about whom nothing was written
    no policy held then        it must allow all of these rows and columns now; where nobody knows what it would have
                               been asked, PolicyChanged

Rules
- Each refusal is in the audit log before its error leaves.
- Between the last answer and the append nothing waits, unless a denial is written down.
- What other sessions have left to this one is asked for too. If theirs is refused, they and this one run again: none of
  it is kept, PolicyChanged says so, and what is denied is denied to whom it belongs.
- A question about a table counts if the transaction has changed rows of it, or the schema if a change of that asked
  for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from attrs import evolve, frozen

from vdb.changes import Attribution, RowChange, SchemaChange, Transaction
from vdb.errors import DefiniteError, PolicyChanged, VerityError
from vdb.policy.words import Action
from vdb.sql.batch import Batch
from vdb.sql.host import Host, Logged, Outcome
from vdb.sql.keeping import UNASKED, Asked, Keeper, Question, written
from vdb.sql.rulings import Ruling, still_allows
from vdb.sql.subjects import Subjects
from vdb.sql.tables import fold
from vdb.wire.sql import subjects_of

_CHANGED = "since this was written, what may be written has changed: nothing of the transaction is kept, run it again"
_UNKNOWN = "a policy holds that didn't when this was written: nothing of the transaction is kept, run it again"
_OTHERS = "what other sessions wrote with this isn't allowed any more: nothing of it is kept, run it again"


def appending(
    keeper: Keeper | None,
    host: Host,
    batch: Batch,
    subjects: Subjects,
    asked: Sequence[Asked],
    attribution: Attribution,
) -> Callable[[], Awaitable[Logged]]:
    """What appends a batch, in the node's loop. AccessDenied, PolicyChanged, NotAuthenticated: it isn't appended."""
    if keeper is None:
        return lambda: host.append(batch.payloads)
    columns = subjects.columns()
    rulings: list[Ruling] = []
    for one in batch.asked(asked):
        if one.ruling is not None and one.writes and one.ruling not in rulings:
            rulings.append(one.ruling)
    told = written(batch.transactions, columns, rulings)
    confirming = _Confirming(keeper=keeper, batch=batch, columns=columns)

    async def append() -> Logged:
        if keeper.is_governed:
            try:
                await confirming.confirm(asked, attribution)
            except VerityError:
                for other in batch.done:
                    if isinstance(other.outcome, Outcome):
                        other.outcome = PolicyChanged(_OTHERS)
                raise
        return await host.append(batch.payloads, keeper.note(told))

    return append


@frozen(kw_only=True)
class _Confirming:
    """Of one batch, whose transactions are taken already."""

    keeper: Keeper
    batch: Batch
    columns: Mapping[str, str]
    """The subject column of each table that has one, by its folded name."""

    async def confirm(self, asked: Sequence[Asked], attribution: Attribution) -> None:
        tables, schema = _changed(self.batch.transactions)
        for other in self.batch.done:
            if isinstance(other.outcome, Outcome):
                try:
                    await self._ask(other.asked, other.attribution, tables, schema=schema)
                except DefiniteError:
                    raise PolicyChanged(_OTHERS) from None
        await self._ask(asked, attribution, tables, schema=schema)

    async def _ask(
        self, asked: Sequence[Asked], attribution: Attribution, tables: Mapping[str, str], *, schema: bool
    ) -> None:
        for one in asked:
            question, then = one.question, one.ruling
            of_rows = question.action is not Action.SCHEMA and fold(question.table) in tables
            if one is UNASKED or not (of_rows or (one.makes and schema)):
                continue
            if then is None:
                await self.keeper.ask([evolve(question, plain=True)], attribution)
                continue
            (now,) = await self.keeper.ask([question], attribution)
            if then.key != now.key and not still_allows(then, now, self._whose(question)):
                raise await self.keeper.deny([now], question.table, _CHANGED, attribution)
        if UNASKED in asked and (tables or schema):
            # What was allowed of the same tables since says nothing of these rows.
            await self.keeper.deny([], next(iter(tables.values()), "sqlite_master"), _UNKNOWN, attribution)
            raise PolicyChanged(_UNKNOWN)

    def _whose(self, question: Question) -> dict[str, None]:
        """Whose rows of a table were changed; "" for those that are nobody's."""
        found: dict[str, None] = {}
        for transaction in self.batch.transactions:
            steps = tuple(
                step
                for step in transaction.steps
                if isinstance(step, RowChange) and fold(transaction.layouts[step.layout].table) == fold(question.table)
            )
            found |= subjects_of(evolve(transaction, steps=steps), self.columns)
        return found


def _changed(transactions: Sequence[Transaction]) -> tuple[dict[str, str], bool]:
    """Tables whose rows were changed, by their folded names, and whether the schema was."""
    tables: dict[str, str] = {}
    schema = False
    for transaction in transactions:
        for step in transaction.steps:
            if isinstance(step, RowChange):
                name = transaction.layouts[step.layout].table
                tables[fold(name)] = name
            elif isinstance(step, SchemaChange):
                schema = True
    return tables, schema
