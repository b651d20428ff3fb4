"""What a policy says of the rows of one table: of everybody's, and apart from that of some subjects'.

A grant may be about one subject, and a consent always is. By it another rule decides for the rows of that subject,
which are known by the column that their table declares. So a ruling has a decision for the rows of nobody in
particular, and others for the rows of some:

    (subject IN ('p-1') AND rows of that decision) OR (subject isn't among those AND rows of the first one)

Rules
- A row whose subject column is NULL, or holds a real number, is nobody's in particular.
- Subjects are compared as they are named elsewhere (`wire.sql.subject_name`), whatever the column's collation.
- A decision that denies has no rows: those of its subjects aren't shown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from attrs import field, frozen

from vdb.policy.decide import Decision
from vdb.policy.words import Mask
from vdb.sql.conditions import Bindings, bound_condition, text_literal
from vdb.sql.tables import fold, quote


@frozen(kw_only=True)
class Apart:
    """The decision for the rows of some subjects."""

    subjects: tuple[str, ...] = field(repr=False)
    decision: Decision


@frozen(kw_only=True)
class Ruling:
    """See the module's docstring. It allows something, if but the rows of one subject."""

    decision: Decision
    apart: tuple[Apart, ...] = ()
    """Of different subjects."""

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """All by which rows may be had."""
        return tuple(one for one in (self.decision, *(part.decision for part in self.apart)) if one.allowed)

    def of(self, subject: str) -> Decision:
        """The decision for a subject's rows; for "" of those that are nobody's in particular."""
        return next((part.decision for part in self.apart if subject in part.subjects), self.decision)

    @property
    def is_whole(self) -> bool:
        """Whether all rows are shown as they are."""
        all_of_them = (self.decision, *(part.decision for part in self.apart))
        return all(one.allowed and not one.rows and not one.masks for one in all_of_them)

    @property
    def key(self) -> object:
        """Two rulings of which this is the same show the same."""
        parts = ((part.subjects, _key(part.decision)) for part in self.apart)
        return (_key(self.decision), *parts)


@frozen(kw_only=True)
class Branch:
    """Some rows, and what is shown of them."""

    condition: str
    """In parentheses; empty: all rows."""
    masks: Mapping[str, Mask]
    """By the folded name of the column."""


def branches_of(
    ruling: Ruling, table: str, column: str, bindings: Bindings, masks: Callable[[Decision], Mapping[str, Mask]]
) -> tuple[Branch, ...]:
    """The parts of a table, no row in two of them; of several each has a condition.

    `column`: says whose a row is; `masks`: those of a decision for this table.
    """
    if not ruling.apart:
        one = ruling.decision
        return (Branch(condition=bound_condition(one.rows, bindings) if one.rows else "", masks=masks(one)),)
    found = []
    for part in ruling.apart:
        if part.decision.allowed:
            found.append(_branch(subject_in(table, column, part.subjects), part.decision, bindings, masks))
    if ruling.decision.allowed:
        named = tuple(subject for part in ruling.apart for subject in part.subjects)
        others = f"({subject_in(table, column, named)} IS NOT TRUE)"
        found.append(_branch(others, ruling.decision, bindings, masks))
    return tuple(found)


def _branch(
    whose: str, decision: Decision, bindings: Bindings, masks: Callable[[Decision], Mapping[str, Mask]]
) -> Branch:
    condition = f"({whose} AND {bound_condition(decision.rows, bindings)})" if decision.rows else whose
    return Branch(condition=condition, masks=masks(decision))


def subject_in(table: str, column: str, subjects: tuple[str, ...]) -> str:
    """The condition, in parentheses, that a row is of one of these."""
    name = f"{quote(table)}.{quote(column)}"
    kinds = f"WHEN 'blob' THEN lower(hex({name})) WHEN 'real' THEN NULL ELSE CAST({name} AS TEXT)"
    return f"(CASE typeof({name}) {kinds} END IN ({', '.join(map(text_literal, subjects))}))"


def one_of(branches: tuple[Branch, ...]) -> str:
    """The condition, in parentheses, that a row is in one of them; empty: each is."""
    if any(not branch.condition for branch in branches):
        return ""
    return f"({' OR '.join(branch.condition for branch in branches)})"


def counting_for(rulings: tuple[Ruling, ...], subjects: tuple[str, ...], everybody: tuple[str, ...]) -> list[Decision]:
    """The decisions by which rows of these subjects were had; of `everybody`: all."""
    found: list[Decision] = []
    named = dict.fromkeys(subjects)
    for ruling in rulings:
        apart = {subject: None for part in ruling.apart for subject in part.subjects}
        if subjects == everybody or not ruling.apart or not subjects:
            found += ruling.decisions
            continue
        found += [part.decision for part in ruling.apart if not named.keys().isdisjoint(part.subjects)]
        if ruling.decision.allowed and any(subject not in apart for subject in named):
            found.append(ruling.decision)
    return [one for one in found if one.allowed]


def still_allows(then: Ruling, now: Ruling, subjects: Collection[str]) -> bool:
    """Whether rows of these subjects ("": nobody's) that were written by one ruling may be by another as well."""
    return all(_fits(then.of(subject), now.of(subject)) for subject in subjects)


def _fits(then: Decision, now: Decision) -> bool:
    """Rows under no condition may be written whatever was looked at then; under another one nobody has looked."""
    same_rows, same_masks = now.rows in ("", then.rows), not now.masks or _key(now)[2] == _key(then)[2]
    return now.allowed and same_rows and same_masks


def _key(decision: Decision) -> tuple[object, ...]:
    return (decision.allowed, decision.rows, tuple((fold(name), mask) for name, mask in decision.masks.items()))
