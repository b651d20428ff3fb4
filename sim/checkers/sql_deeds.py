"""What clients were told, against plain SQLite that runs the same statements in the order of the log.

Q2   a deed that was acknowledged, and changed something, is in the log
Q3   a deed that definitely failed isn't
Q4   after each transaction of the log, replayed, the database holds what the model holds
Q5   results, errors and counts of each statement are the model's: of a deed in the log, at its place; of any
     other one, at some place of the log between those where it began and ended
Q7   the same for reads: what a session saw is the log up to where its snapshot says that it is, and no more
Q11  a deed that began after another was acknowledged comes after it; a fresh read holds all that was acknowledged
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from sim.checkers.sql_log import Logged, SqlLog
from sim.sql.deeds import Answer, Deed, Deeds, Fate, Said
from sim.sql.model import Model, dump
from sim.sql.script import CHANGES
from sim.verdict import Verdict


@define
class SqlJudge:
    """Runs through the whole log once, at the end of a run."""

    verdict: Verdict
    log: SqlLog
    deeds: Deeds

    def check(self) -> None:
        self.log.catch_up()
        waiting = self._of_no_place()
        model = Model()
        try:
            self._try_here(model, 0, waiting)
            for logged in self.log.transactions:
                if not self.verdict.ok:
                    return
                self._run(model, logged)
                model.move_to(logged.next_offset)
                self._compare(model, logged)
                self._try_here(model, logged.next_offset, waiting)
        finally:
            model.close()
        for deed, told in waiting.items():
            self._accuse(deed, told)

    # What is in the log ----------------------------------------------------------------------------------------

    def _run(self, model: Model, logged: Logged) -> None:
        check = self.verdict.check
        deed = self.deeds.all.get(logged.deed)
        if not check("Q1", deed is not None, f"deed {logged.deed} of the log is nobody's"):
            return
        assert deed is not None
        check("Q3", deed.fate is not Fate.REFUSED and deed.asked,
              f"{_name(deed)} is in the log at {logged.first_offset}: {deed.fate.value}, {deed.refusal}")  # fmt: skip
        check("Q11", deed.settled <= logged.first_offset,
              f"{_name(deed)} began when offset {deed.settled} had been acknowledged, and lies at "
              f"{logged.first_offset}")  # fmt: skip
        if deed.first_offset >= 0:
            check("Q11", deed.first_offset <= logged.first_offset and logged.next_offset <= deed.next_offset,
                  f"{_name(deed)} was told {deed.first_offset} to {deed.next_offset}, and lies at "
                  f"{logged.first_offset} to {logged.next_offset}")  # fmt: skip
        answers = model.run(deed, whole=True)
        differs = _difference(deed, answers)
        check("Q5", not differs, f"{_name(deed)}, at {logged.first_offset} of the log: {differs}")

    def _compare(self, model: Model, logged: Logged) -> None:
        due = dump(model.db)
        found = self.log.dumps.get(logged.next_offset)
        differs = "it can't be replayed" if found is None else found.differs(due)
        deed = self.deeds.all.get(logged.deed)
        self.verdict.check(
            "Q4",
            not differs,
            f"after {_name(deed) if deed else logged.deed}, at {logged.first_offset} of the log, the replay differs "
            f"from plain SQLite: {differs}",
        )

    # What isn't ------------------------------------------------------------------------------------------------

    def _of_no_place(self) -> dict[Deed, str]:
        """Deeds that aren't in the log, each with what the last try at it said."""
        return {
            deed: "no place of the log was tried"
            for deed in self.deeds.all.values()
            if deed.number not in self.log.by_deed and deed.said and deed.said[0].answer is not None
        }

    def _try_here(self, model: Model, offset: int, waiting: dict[Deed, str]) -> None:
        """Deeds that may have run at this place, and left nothing."""
        here = [deed for deed in waiting if deed.applied <= offset <= max(deed.head, deed.applied)]
        for deed in here:
            copy = model.copy()
            try:
                answers = copy.run(deed, whole=False)
                differs = _difference(deed, answers)
                if not differs and deed.fate is Fate.DONE:
                    changed = dump(copy.db).differs(dump(model.db))
                    differs = f"it changes something, and isn't in the log: {changed}" if changed else ""
            finally:
                copy.close()
            if differs:
                waiting[deed] = f"at {offset}: {differs}"
            else:
                del waiting[deed]
                self.verdict.check("Q7" if deed.script.kind == "read" else "Q5", True, "")

    def _accuse(self, deed: Deed, told: str) -> None:
        kind = "Q7" if deed.script.kind == "read" else "Q2" if "isn't in the log" in told else "Q5"
        self.verdict.check(
            kind,
            False,
            f"{_name(deed)}, which isn't in the log, fits no place between {deed.applied} and {deed.head}; {told}",
        )


def check_fresh(verdict: Verdict, deed: Deed) -> None:
    """Q11, of a deed that asked for a fresh file, as soon as the file was said to be fresh."""
    verdict.check(
        "Q11",
        not deed.fresh or deed.applied >= deed.settled,
        f"{_name(deed)} asked for all that was acknowledged, offset {deed.settled}, and was given {deed.applied}",
    )


def _difference(deed: Deed, answers: Sequence[Answer]) -> str:
    for index, (said, due) in enumerate(zip(deed.said, answers, strict=False)):
        if said.answer is None or (said.statement.sql == CHANGES and not _is_change(deed.said[index - 1])):
            continue
        differs = said.answer.differs(due, gives_rowid=said.statement.gives_rowid)
        if differs:
            return f"statement {index} of {[one.statement.sql for one in deed.said]} gave {differs}"
    return ""


def _is_change(said: Said) -> bool:
    """Whether it changed rows, as far as SQLite counts: a view's rows aren't any."""
    return (
        said.answer is not None
        and not said.answer.error
        and said.statement.sql.split()[0] in ("INSERT", "UPDATE", "DELETE", "REPLACE", "WITH")
        and not said.statement.many
    )


def _name(deed: Deed) -> str:
    return f"deed {deed.number} ({deed.script.kind}) of client q{deed.client} on {deed.node}"
