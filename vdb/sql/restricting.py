"""A statement's text so that it sees what a policy shows of tables, and nothing else. Pure.

In front of the statement, which stays the user's own text, stand common tables that take the places of the restricted
ones, and of the views through which they are read:

    WITH "vdb_rows_0_0" AS (SELECT "patients"."id" AS "id", NULL AS "ssn" FROM main."patients" WHERE (ward = 'B')),
         "patients" AS (SELECT * FROM "vdb_rows_0_0")
    SELECT ...

SQLite looks up a name there before it looks among the tables, in subqueries and in common tables of the user's too.
A name with its schema (`main.patients`) goes past it, so none may be in the text.

The condition is a fence where the statement has something that can fail, take its time, or be seen to be called, for a
row that isn't shown: SQLite is free to ask it before the condition. Then the rows are made first (`MATERIALIZED`).
Other statements keep their indexes.

UPDATE and DELETE of a restricted table change rows that are shown alone: their WHERE says so. What they and INSERT
leave is looked at once they have run (`written_rows`).

Whether all of this held is `checking`'s to say, by what SQLite reports of the text: nothing runs before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import field, frozen

from vdb.errors import SqlRefused
from vdb.policy.words import Mask
from vdb.sql.keywords import Token, tokens
from vdb.sql.rulings import Branch
from vdb.sql.schema_change import has_replace
from vdb.sql.tables import Table, fold, quote

SHOWN = "***"
LAST_FOUR_OF = 8
"""Characters that a value has at least of which the last four are shown: of shorter ones they would be most."""

QUIET_FUNCTIONS = (
    *("avg", "coalesce", "count", "date", "datetime", "ifnull", "iif", "if", "instr", "julianday", "length"),
    *("likelihood", "likely", "lower", "ltrim", "max", "min", "nullif", "octet_length", "rtrim", "sign", "strftime"),
    *("substr", "substring", "time", "total", "trim", "typeof", "unicode", "unixepoch", "unlikely", "upper"),
)
"""Functions that can't fail whatever they are given, and that nobody sees being called."""

_LOUD = ("||", "->", "->>")
"""Operators that can: a text may become too big, JSON be malformed."""
_COLLATIONS = ("binary", "nocase", "rtrim")

_SCHEMAS = ("main", "temp")
_WRITES = ("UPDATE", "DELETE", "INSERT", "REPLACE")
_OTHERS = ("FROM", "ORDER", "LIMIT", "INDEXED")


@frozen(kw_only=True)
class Restriction:
    """What is shown of a table."""

    table: Table
    conditions: tuple[str, ...] = ()
    """Of rows that are shown, each in parentheses (`conditions`)."""
    apart: tuple[tuple[Branch, ...], ...] = ()
    """Where what is shown of a column differs from row to row: the rows, and their masks."""
    kept: tuple[str, ...] = ()
    """Of rows that may be written, besides: those that aren't are kept as they are."""
    replaces: bool = False
    """Whether an INSERT may replace rows, as the table says so itself."""
    masks: Mapping[str, Mask] = field(factory=dict)
    """By the folded name of the column, each that some row has. Of a table with masks, generated columns without one
    are hidden: they may be made of what is masked."""

    @property
    def rowset(self) -> tuple[str, ...]:
        """Columns that tell a row from others, for an UPDATE or DELETE."""
        if self.table.rowid is not None:
            return (self.table.rowid,)
        if not self.table.without_rowid:
            raise SqlRefused(f"table {self.table.name} hides its rows' numbers: it can't be written under a filter")
        return tuple(map(quote, self.table.key))

    def mask_of(self, column: str) -> Mask | None:
        found = self.masks.get(fold(column))
        generated = column not in self.table.columns
        return Mask.HIDE if found is None and generated and self.masks else found

    def shown(self, column: str, name: str) -> str:
        """What is shown of a column, in SQL. `name`: the column's, with its table's."""
        mask = self.mask_of(column)
        if mask is None:
            return name
        for branches in self.apart:
            found = [branch.masks.get(fold(column)) for branch in branches]
            if any(one is not found[0] for one in found):
                whens = (
                    f"WHEN {branch.condition} THEN {name if one is None else masked(name, one)}"
                    for branch, one in zip(branches, found, strict=True)
                )
                return f"CASE {' '.join(whens)} END"
        return masked(name, mask)


@frozen(kw_only=True)
class View:
    """A view through which a statement reads."""

    name: str
    sql: str
    """CREATE VIEW, as the schema has it."""


@frozen(kw_only=True)
class Restricted:
    """A statement that may run once it is checked."""

    sql: str = field(repr=False)
    fenced: str = field(repr=False)
    """The same with every fence up: what is checked. Names mean the same in both."""
    alone: str = field(repr=False)
    """A query of our own common tables, for what they read by themselves."""
    sources: Mapping[str, str]
    """Each of our common tables, with the folded name of the table that it stands before."""
    target: str = ""
    """The folded name of a restricted table that the statement writes, else empty."""


def restrict(
    sql: str,
    restrictions: Sequence[Restriction],
    views: Sequence[View] = (),
    *,
    functions: Iterable[str] = (),
    target: str = "",
) -> Restricted:
    """The statement, so that it sees what these show. SqlRefused for what can't be restricted.

    `views`: those that it reads, through others too. `functions`: those that it calls. `target`: what it writes.
    """
    assert restrictions, "a statement that sees everything isn't restricted"
    texts = (sql, *(view.sql for view in views))
    for text in texts:
        _check_names(text)
    stem = _stem(texts)
    names = [f"{stem}{number}" for number in range(len(restrictions))]
    quiet = all(name.lower() in QUIET_FUNCTIONS for name in functions) and not any(map(_is_loud, texts))
    written = next((one for one in restrictions if fold(one.table.name) == fold(target)), None) if target else None
    ours: list[tuple[str, str]] = []
    for name, one in zip(names, restrictions, strict=True):
        ours += [(name, _shown(one)), (one.table.name, f"SELECT * FROM {quote(name)}")]
    if written is not None and (written.conditions or written.kept):
        parts = _parts(sql)
        if parts.verb in ("INSERT", "REPLACE"):
            _check_insert(sql, written, quiet=quiet)
        else:
            name = f"{stem}rows"
            names.append(name)
            ours.append((name, _rowset(written)))
            sql = _only_shown(sql, parts, written, name, quiet=quiet)
    tables = [fold(one.table.name) for one in restrictions]
    if len(names) > len(tables):
        tables.append(fold(target))
    heads = {fence: _commons(ours, names, views, fence=fence) for fence in (True, False)}
    return Restricted(
        sql=_with(sql, heads[not quiet]),
        fenced=_with(sql, heads[True]),
        alone=f"WITH {heads[True]} SELECT 1 FROM {', '.join(map(quote, names))}",
        sources=dict(zip(names, tables, strict=True)),
        target=fold(target) if written is not None else "",
    )


def masked(column: str, mask: Mask) -> str:
    """What is shown of a column, in SQL."""
    match mask:
        case Mask.HIDE:
            return "NULL"
        case Mask.REDACT:
            return f"CASE WHEN {column} IS NOT NULL THEN '{SHOWN}' END"
        case Mask.YEAR:
            digits = "[0-9]" * 4
            is_date = f"CAST({column} AS TEXT) GLOB '{digits}' OR CAST({column} AS TEXT) GLOB '{digits}-[0-9][0-9]*'"
            return f"CASE WHEN {is_date} THEN substr(CAST({column} AS TEXT), 1, 4) END"
        case Mask.LAST_FOUR:
            text = f"CAST({column} AS TEXT)"
            return (
                f"CASE WHEN {column} IS NULL THEN NULL WHEN length({text}) < {LAST_FOUR_OF} THEN '{SHOWN}' "
                f"ELSE '{SHOWN}' || substr({text}, -4) END"
            )


def _shown(one: Restriction) -> str:
    table = quote(one.table.name)
    columns = []
    for column in one.table.readable:
        columns.append(f"{one.shown(column, f'{table}.{quote(column)}')} AS {quote(column)}")
    where = f" WHERE {' AND '.join(one.conditions)}" if one.conditions else ""
    return f"SELECT {', '.join(columns)} FROM main.{table}{where}"


def _rowset(one: Restriction) -> str:
    table = quote(one.table.name)
    columns = ", ".join(f"{table}.{part}" for part in one.rowset)
    return f"SELECT {columns} FROM main.{table} WHERE {' AND '.join((*one.conditions, *one.kept))}"


def _commons(ours: list[tuple[str, str]], names: list[str], views: Sequence[View], *, fence: bool) -> str:
    hint = "MATERIALIZED " if fence else ""
    parts = [f"{quote(name)} AS {hint if name in names else ''}({text})" for name, text in ours]
    return ", ".join([*parts, *map(_common_view, views)])


def _common_view(view: View) -> str:
    """A view as a common table: `name [(columns)] AS (SELECT ...)`."""
    found = list(tokens(view.sql))
    depth, start = 0, None
    for place, token in enumerate(found):
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.upper == "AS":
            start = place
            break
    if start is None:
        raise SqlRefused(f"view {view.name} can't be read under a filter: expected CREATE VIEW name AS SELECT")
    opening = next((place for place in range(start) if found[place].text == "("), start)
    columns = " ".join(token.text for token in found[opening:start])
    body = " ".join(token.text for token in found[start + 1 :] if token.text != ";")
    return f"{quote(view.name)} {columns} AS ({body})"


def _stem(texts: Sequence[str]) -> str:
    """The beginning of names that none of the texts can have written."""
    lowered = [text.lower() for text in texts]
    number = 0
    while any(f"vdb_rows_{number}_" in text for text in lowered):
        number += 1
    return f"vdb_rows_{number}_"


def _check_names(sql: str) -> None:
    before: Token | None = None
    for token in tokens(sql):
        if token.text == "." and before is not None and fold(before.name) in _SCHEMAS:
            raise SqlRefused(f"under a filter a table is named without its schema: found {before.text}.")
        before = token


def _is_loud(sql: str) -> bool:
    """Whether a text has what can fail, take its time, or be seen, for a row: of functions apart."""
    selects, before = 0, ""
    for token in tokens(sql):
        selects += token.upper == "SELECT"
        if selects > 1 or token.upper == "WITH" or (before == "COLLATE" and token.name.lower() not in _COLLATIONS):
            return True
        before = token.upper
    return any(sign in sql for sign in _LOUD)


def _with(sql: str, commons: str) -> str:
    """The statement with common tables before its own."""
    found = [token for token in tokens(sql) if token.text != ";"]
    first = found[0]
    if first.upper != "WITH":
        start = first.end - len(first.text)
        return f"{sql[:start]}WITH {commons} {sql[start:]}"
    end = found[1].end if found[1].upper == "RECURSIVE" else first.end
    return f"{sql[:end]} {commons}, {sql[end:]}"


def _only_shown(sql: str, parts: _Parts, one: Restriction, name: str, *, quiet: bool) -> str:
    """UPDATE or DELETE with a WHERE that its rows are among those that are shown."""
    if parts.others:
        raise SqlRefused(
            f"{parts.verb} of {one.table.name} is refused under a filter with {parts.others[0]}: expected a WHERE alone"
        )
    columns = ", ".join(one.rowset)
    shown = f"({columns}) IN (SELECT * FROM {quote(name)})"
    rest = sql[parts.end :]
    if parts.where is None:
        return f"{sql[: parts.end]}\nWHERE {shown}\n{rest}"
    condition = sql[parts.where + len("WHERE") : parts.end]
    # In this order, and in no other: the user's own condition may fail, or be seen, for a row that isn't shown.
    both = f"({shown}) AND (\n{condition}\n)" if quiet else f"CASE WHEN {shown} THEN (\n{condition}\n) END"
    return f"{sql[: parts.where]}WHERE {both}\n{rest}"


@frozen(kw_only=True)
class _Parts:
    """Of an UPDATE, a DELETE or an INSERT."""

    verb: str
    where: int | None
    """Where the WHERE begins."""
    end: int
    """Where what it says ends: before RETURNING, or behind the last token."""
    others: tuple[str, ...]
    """Clauses that can't stand beside a filter."""


def _parts(sql: str) -> _Parts:
    depth, verb, before, end = 0, "", "", 0
    where: int | None = None
    others: list[str] = []
    for token in tokens(sql):
        depth += (token.text == "(") - (token.text == ")")
        word = "" if depth else token.upper
        if not verb:
            verb = word if word in _WRITES else ""
        elif word == "WHERE":
            where = token.end - len(word)
        elif word == "RETURNING":
            break
        elif (word in _OTHERS and not (word == "FROM" and before == "DELETE")) or (word == "OR" and before == "UPDATE"):
            others.append(word)
        if token.text != ";":
            before, end = word, token.end
    return _Parts(verb=verb, where=where, end=end, others=tuple(others))


def _check_insert(sql: str, one: Restriction, *, quiet: bool) -> None:
    """SqlRefused for an INSERT that could show, or change unseen, a row that isn't shown."""
    words = [token.upper for token in tokens(sql) if token.upper]
    into = words.index("INTO")
    otherwise = words[words.index("OR") + 1] if "OR" in words[:into] else "ABORT"
    if one.replaces or has_replace(sql) or otherwise not in ("ABORT", "IGNORE"):
        raise SqlRefused(
            f"INSERT into {one.table.name} is refused under a filter with REPLACE, FAIL or ROLLBACK: it might change "
            "rows that aren't shown, or leave some that may not be written"
        )
    if is_upsert(sql) and (not quiet or _where_of_upsert(sql)):
        raise SqlRefused(
            f"an upsert of {one.table.name} is refused under a filter where it has a WHERE of its own, or calls what "
            "can fail or be seen: it would be asked of rows that aren't shown"
        )


def is_upsert(sql: str) -> bool:
    """Whether an INSERT says ON CONFLICT DO UPDATE, as far as its text goes."""
    words = [token.upper for token in tokens(sql) if token.upper]
    return any(words[place : place + 2] == ["DO", "UPDATE"] for place in range(len(words)))


def _where_of_upsert(sql: str) -> bool:
    """Whether there is a WHERE behind the first DO UPDATE."""
    before, behind = "", False
    for token in tokens(sql):
        behind = behind or (before == "DO" and token.upper == "UPDATE")
        if behind and token.upper == "WHERE":
            return True
        before = token.upper or before
    return False


def is_plain_insert(sql: str) -> bool:
    """Whether a statement is an INSERT that neither replaces nor updates a row, as far as its text says."""
    words = [token.upper for token in tokens(sql) if token.upper]
    if "INTO" not in words or has_replace(sql):
        return False
    return "CONFLICT" not in words and "OR" not in words[: words.index("INTO")]
