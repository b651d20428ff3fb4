"""Row conditions of a policy, made ready to stand in a statement: checked, with values for their parameters.

Rules
- A condition is one expression: nothing in it ends a statement, closes a parenthesis that it didn't open, or hides what
  stands behind it in a comment.
- `:principal`, `:tenant` and `:purpose` become literals; there are no other parameters.
- Tables that it reads are those of the database, whatever a statement around it calls by the same name.
- A name in double quotes stays a name: SQLite would take one that it doesn't find for a text.

SqlRefused says what is wrong with a condition. Nothing is then shown of its table.
"""

from __future__ import annotations

from functools import lru_cache

from attrs import frozen

from vdb.errors import SqlRefused
from vdb.sql.keywords import Token, tokens

CONDITION_MAX = 8192
"""Characters."""

_COMMENTS = ("--", "/*")
_CLOSES = {"'": "'", '"': '"', "`": "`", "[": "]"}


@frozen(kw_only=True)
class Bindings:
    """What the parameters of row conditions stand for."""

    principal: str
    tenant: int
    purpose: str = ""


def text_literal(text: str) -> str:
    """A text in SQL. SQLite ends a statement at a NUL: refused."""
    if "\0" in text:
        raise SqlRefused("a text with a NUL can't stand in a condition")
    return "'" + text.replace("'", "''") + "'"


@lru_cache(maxsize=1024)
def bound_condition(rows: str, bindings: Bindings) -> str:
    """The condition, in parentheses, for the WHERE of a SELECT from its table alone."""
    if len(rows) > CONDITION_MAX:
        raise SqlRefused(f"the policy's condition on rows has {len(rows)} characters: expected at most {CONDITION_MAX}")
    from vdb.sql.remarks import tables_in_condition  # loads sqlglot, a good part of a node's start

    found = list(tokens(rows))
    _check(rows, found)
    starts = dict.fromkeys(tables_in_condition(rows))
    values = {
        ":principal": text_literal(bindings.principal),
        ":tenant": str(bindings.tenant),
        ":purpose": text_literal(bindings.purpose),
    }
    parts = []
    for token in found:
        if token.kind == "variable":
            parts.append(values[token.text])
        elif token.end - len(token.text) in starts:
            parts.append(f"main.{_name(token)}")
        else:
            parts.append(_name(token))
    return f"({' '.join(parts)})"


def _check(rows: str, found: list[Token]) -> None:
    if not found:
        raise _refused(rows, "it is empty")
    depth = 0
    for place, token in enumerate(found):
        depth += (token.text == "(") - (token.text == ")")
        if depth < 0:
            raise _refused(rows, "it closes a parenthesis that it doesn't open")
        if token.text == ";":
            raise _refused(rows, "expected one expression, found ';'")
        if token.kind == "variable" and token.text not in (":principal", ":tenant", ":purpose"):
            raise _refused(rows, f"it names {token.text}: there are :principal, :tenant and :purpose")
        if token.kind in ("text", "quoted") and not _is_closed(token):
            raise _refused(rows, "a quote in it doesn't end")
        if token.upper == "IN" and found[place + 1 : place + 2] and found[place + 1].text != "(":
            raise _refused(rows, "expected parentheses behind IN")
    if depth:
        raise _refused(rows, "it doesn't close all of its parentheses")


def _is_closed(token: Token) -> bool:
    text = token.text
    return len(text) > 1 and text[-1] == _CLOSES[text[0]]


def _name(token: Token) -> str:
    """A token as it stands; a quoted name so that it can't be taken for a text."""
    if token.kind != "quoted" or token.text[0] != '"':
        return token.text
    if "]" in token.name:
        return "`" + token.name.replace("`", "``") + "`"
    return f"[{token.name}]"


def _refused(rows: str, why: str) -> SqlRefused:
    return SqlRefused(f"the policy's condition on rows isn't one that can be used: {why}: {rows[:200]}")
