"""What a policy is asked of a statement, and what its answers restrict. Pure.

- Asked is for each table apart, by what SQLite says that the statement reads and writes (`touching`).
- What makes something that goes on reading, a table of the rows that were found or a trigger, asks for whole rows and
  values as they are: a filter holds for the statement alone. SQLite doesn't say what a trigger will read, so each table
  counts that its text names.
- A table or a column that gets another name gets past the rules that name it: so that, too, asks for all of the table.
  So does dropping a column: another one of its name could be added, with what the rules ask for in every row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from attrs import evolve

from vdb.policy.words import Action
from vdb.sql.keeping import Question
from vdb.sql.keywords import leading_words, tokens
from vdb.sql.restricting import is_plain_insert
from vdb.sql.rulings import Ruling
from vdb.sql.schema_change import parse_schema_statement
from vdb.sql.tables import fold
from vdb.sql.touching import Objects, Touched
from vdb.sql.verdict import StatementKind, Verdict

Restricting = list[tuple[str, tuple[tuple[Action, Ruling], ...]]]
"""Rulings that restrict something, and of what action, by table."""

_MAKES = ("CREATE", "ALTER", "DROP")
_UNNAMES = ("RENAME", "DROP")
"""Of ALTER TABLE."""


def opened_by(sql: str, named: Collection[str], objects: Objects) -> tuple[str, ...]:
    """Tables whose rows may be read past the rules once a change of the schema is made, as they are spelled.

    `named`: names in its text, folded (`touching.names_in`).
    """
    words = leading_words(sql, 3)
    if words[:1] == ("CREATE",) and "TRIGGER" in words:
        return tuple(objects.tables[name] for name in named if name in objects.tables)
    if words[:1] == ("ALTER",) and any(token.upper in _UNNAMES for token in tokens(sql)):
        name = fold(parse_schema_statement(sql).name)
        return (objects.tables[name],) if name in objects.tables else ()
    return ()


def questions_of(
    sql: str,
    verdict: Verdict,
    found: Touched,
    read: Action,
    *,
    opened: Mapping[str, Sequence[str]] | None = None,
    subjects: Collection[str] = (),
) -> list[Question]:
    """What a policy is asked of a statement.

    `opened`: what `opened_by` says, with the columns of each. `subjects`: folded tables that declare a subject column.
    """
    words = leading_words(sql, 3)
    makes = words[:1] != () and words[0] in _MAKES
    schema = verdict.kind is StatementKind.SCHEMA
    # What a trigger does, it does for whoever made it: that of a session's own isn't less.
    asked = [Question(action=Action.SCHEMA)] if schema or (makes and "TRIGGER" in words) else []
    asked += [Question(action=Action.SCHEMA, table=table) for table in found.shaped]
    asked += [
        Question(action=read, table=table, columns=columns, plain=makes) for table, columns in found.reads.items()
    ]
    for table, columns in (opened or {}).items():
        asked.append(Question(action=Action.QUERY, table=table, columns=tuple(columns), plain=True))
    if found.target and found.target not in found.reads and (found.changes_target or not is_plain_insert(sql)):
        # Rows that may be changed are those that may be seen.
        asked.append(Question(action=read, table=found.target))
    if not schema:
        asked += [
            Question(action=Action.APPEND, table=table, columns=columns or (), plain=fold(table) != fold(found.target))
            for table, columns in found.writes.items()
        ]
    return [evolve(one, knows_subjects=True) if fold(one.table) in subjects else one for one in asked]


def restricting(questions: Sequence[Question], rulings: Sequence[Ruling]) -> Restricting:
    """The rulings that restrict something, by table."""
    found: dict[str, list[tuple[Action, Ruling]]] = {}
    for question, ruling in zip(questions, rulings, strict=False):
        if question.table and not ruling.is_whole:
            found.setdefault(question.table, []).append((question.action, ruling))
    return [(table, tuple(some)) for table, some in found.items()]


def shows(rulings: Sequence[Ruling]) -> list[tuple[int, object]]:
    """What rulings restrict: two statements of which this is the same are shown the same."""
    return [(place, one.key) for place, one in enumerate(rulings) if not one.is_whole]
