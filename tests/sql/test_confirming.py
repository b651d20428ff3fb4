"""What is asked again when a batch commits: of others' parts of it, whose refusals aren't those of who leads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from vdb.changes import Attribution, Layout, Operation, RowChange, Transaction
from vdb.errors import AccessDenied, DefiniteError, NotAuthenticated, PolicyChanged
from vdb.policy.decide import Decision
from vdb.policy.words import Action
from vdb.sql.batch import Batch
from vdb.sql.confirming import appending
from vdb.sql.host import Host, OneShot, Outcome
from vdb.sql.keeping import Asked, Keeper, Question
from vdb.sql.rulings import Ruling
from vdb.sql.subjects import Subjects

QUESTION = Question(action=Action.APPEND, table="t")
RULING = Ruling(decision=Decision(allowed=True, rule="r", version="", reason=""))
ASKED = (Asked(question=QUESTION, ruling=RULING),)
TABLE = Layout(table="t", columns=("a",), key=("a",))
CHANGE = RowChange(layout=0, operation=Operation.INSERT, rowid_after=1, after=(1,))
ROW = Transaction(id=bytes(16), layouts=(TABLE,), steps=(CHANGE,))


class Refusing:
    """A keeper that refuses whatever is asked for one actor."""

    is_governed = True

    def __init__(self, actor: str, error: Exception) -> None:
        self.actor, self.error = actor, error

    async def ask(self, questions: Sequence[Question], attribution: Attribution) -> Sequence[Ruling]:
        if attribution.actor == self.actor:
            raise self.error
        return [RULING for _ in questions]


class NoSubjects:
    def columns(self) -> dict[str, str]:
        return {}


def another() -> OneShot:
    return OneShot(
        sql="",
        parameters=(),
        attribution=Attribution(actor="another"),
        settings=(),
        asked=ASKED,
        outcome=Outcome(rowcount=1, lastrowid=None),
    )


async def append(keeper: Any, batch: Batch) -> None:
    host, subjects = cast(Host, object()), cast(Subjects, NoSubjects())
    await appending(cast(Keeper, keeper), host, batch, subjects, ASKED, Attribution(actor="leader"))()


@pytest.mark.parametrize("error", [AccessDenied("no"), PolicyChanged("other rows"), NotAuthenticated("was revoked")])
async def test_who_leads_a_batch_doesnt_hear_what_is_said_of_others(error: DefiniteError) -> None:
    other = another()
    with pytest.raises(PolicyChanged, match="what other sessions wrote with this isn't allowed any more"):
        await append(Refusing("another", error), Batch(transactions=[ROW, ROW], done=[other]))
    assert isinstance(other.outcome, PolicyChanged)


@pytest.mark.parametrize("error", [AccessDenied("no"), NotAuthenticated("was revoked")])
async def test_others_run_again_where_who_leads_is_refused(error: DefiniteError) -> None:
    other = another()
    with pytest.raises(type(error)):
        await append(Refusing("leader", error), Batch(transactions=[ROW, ROW], done=[other]))
    assert isinstance(other.outcome, PolicyChanged)
