"""What a statement's words say to capture: what a change of the schema is about, and whether there is a REPLACE."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from attrs import frozen

from vdb.sql.keywords import tokens

_PARTS = {"text": "text", "number": "number", "word": "name", "quoted": "name"}
_OPTIONAL = ("TEMP", "TEMPORARY", "UNIQUE")


@frozen(kw_only=True)
class SchemaStatement:
    """The beginning of CREATE, DROP or ALTER. Of anything else only `verb` is told."""

    verb: str
    kind: str = ""
    """TABLE, INDEX, VIEW, TRIGGER or VIRTUAL."""
    name: str = ""
    """As the user wrote it, without quotes and without the database's name."""
    as_select: bool = False
    """CREATE TABLE .. AS SELECT."""


def parse_schema_statement(sql: str) -> SchemaStatement:
    """The statement's beginning. It is one that SQLite takes."""
    found = iter(tokens(sql))
    words = [token for token in (next(found, None) for _ in range(16)) if token is not None]
    while words and words[0].text == ";":
        words.pop(0)
    verb = words.pop(0).upper
    while words and words[0].upper in _OPTIONAL:
        words.pop(0)
    if verb not in ("CREATE", "DROP", "ALTER") or not words:
        return SchemaStatement(verb=verb)
    kind = words.pop(0).upper
    if len(words) > 1 and words[0].upper == "IF" and words[1].upper in ("NOT", "EXISTS"):
        del words[: 3 if words[1].upper == "NOT" else 2]
    if len(words) > 2 and words[1].text == ".":
        del words[:2]
    if not words:
        return SchemaStatement(verb=verb, kind=kind)
    follows = words[1].upper if len(words) > 1 else ""
    as_select = verb == "CREATE" and kind == "TABLE" and follows == "AS"
    return SchemaStatement(verb=verb, kind=kind, name=words[0].name, as_select=as_select)


def parts_of(sql: str) -> Iterator[tuple[str, str]]:
    """What a statement says: its texts, bytes, numbers, names and comments, each with what it is."""
    place, before = 0, ""
    for token in tokens(sql):
        between = sql[place : token.end - len(token.text)]
        if between.strip():
            yield "comment", between.strip("-/* \t\r\n")
        place = token.end
        kind = _PARTS.get(token.kind)
        if kind is not None:
            yield ("bytes" if kind == "text" and before == "X" and not between else kind), token.name
        before = token.upper
    if sql[place:].strip():
        yield "comment", sql[place:].strip("-/* \t\r\n")


def has_replace(sql: str) -> bool:
    """Whether a conflict may be resolved by REPLACE, as far as the text goes; the function of that name doesn't."""
    return "replace" in sql.lower() and _has_replace(sql)


@lru_cache(maxsize=256)
def _has_replace(sql: str) -> bool:
    found = list(tokens(sql))
    following = [*(token.text for token in found[1:]), ""]
    return any(token.upper == "REPLACE" and after != "(" for token, after in zip(found, following, strict=True))
