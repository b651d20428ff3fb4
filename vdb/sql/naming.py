"""Whose data is in the rows of a SELECT: the subject columns of its tables, asked for beside what the user asks for.

    SELECT p.name FROM patients AS p WHERE p.id = ?
    SELECT p.name, "p"."id" AS "vdb_subject_0" FROM patients AS p WHERE p.id = ?

Only of statements each of whose rows is made of one row of each table, all of which declare a subject column. Of every
other one, whose data it tells of isn't known: it counts for everybody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from attrs import field, frozen

from vdb.sql.keywords import tokens
from vdb.sql.tables import fold, quote

SLOT = "vdb_subject_"

_SCALARS = (
    *("->", "->>", "abs", "char", "coalesce", "concat", "concat_ws", "date", "datetime", "format", "glob", "hex"),
    *("ifnull", "iif", "if", "instr", "json", "json_extract", "json_type", "julianday", "length", "like", "likelihood"),
    *("likely", "lower", "ltrim", "nullif", "octet_length", "printf", "quote", "replace", "round", "rtrim", "sign"),
    *(
        "strftime",
        "substr",
        "substring",
        "time",
        "trim",
        "typeof",
        "unhex",
        "unicode",
        "unixepoch",
        "unlikely",
        "upper",
    ),
)
"""SQLite's functions that make one value of one row."""


@frozen(kw_only=True)
class Named:
    """A statement that names the subjects of its rows in columns behind the user's own."""

    sql: str = field(repr=False)
    slots: tuple[str, ...]
    """The names of these columns."""
    columns: tuple[tuple[str, str], ...]
    """What is read for them: folded table, column."""


def with_subjects(
    sql: str, reads: Collection[str], subjects: Mapping[str, str], functions: Collection[str]
) -> Named | None:
    """None where its rows don't tell. `reads`: tables that it reads; `subjects`: columns by folded table."""
    if not reads or SLOT in sql.lower() or any(name.lower() not in _SCALARS for name in functions):
        return None
    folded = [fold(table) for table in reads]
    if not all(table in subjects for table in folded):
        return None
    from vdb.sql.remarks import plain_sources  # loads sqlglot, a good part of a node's start

    sources = plain_sources(sql)
    if sources is None or sorted({fold(table) for _, table in sources}) != sorted(folded):
        return None
    start = _from(sql)
    if start is None:
        return None
    slots = tuple(f"{SLOT}{number}" for number in range(len(sources)))
    columns = tuple((fold(table), subjects[fold(table)]) for _, table in sources)
    added = (
        f"{quote(alias)}.{quote(column)} AS {quote(slot)}"
        for slot, (alias, _), (_, column) in zip(slots, sources, columns, strict=True)
    )
    # On a line of its own: the user's may end with a comment.
    return Named(sql=f"{sql[:start]}\n, {', '.join(added)} {sql[start:]}", slots=slots, columns=columns)


def _from(sql: str) -> int | None:
    """Where FROM begins, of a SELECT without subqueries."""
    depth, before = 0, ""
    for token in tokens(sql):
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.upper == "FROM" and before != "DISTINCT":
            return token.end - len(token.text)
        before = token.upper
    return None
