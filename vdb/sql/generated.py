"""What generated columns of a table are made of, by the text of its schema. Pure.

SQLite tells of a generated column that it is read, and not of the columns in its expression. Whoever may not see these
mustn't see it either, so reading it counts as reading them.
"""

from __future__ import annotations

from collections.abc import Mapping

from vdb.sql.keywords import Token, tokens
from vdb.sql.tables import fold

_CONSTRAINTS = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")


def generated_from(sql: str) -> Mapping[str, tuple[str, ...]]:
    """For each generated column of a CREATE TABLE the columns that it is made of, through others too. Names folded."""
    parts = _parts(list(tokens(sql)))
    columns = [fold(part[0].name) for part in parts if part and part[0].upper not in _CONSTRAINTS]
    direct = {fold(part[0].name): _expression(part) for part in parts if part and part[0].upper not in _CONSTRAINTS}
    return {
        column: tuple(each for each in columns if each in _closure(column, direct))
        for column, names in direct.items()
        if names
    }


def _parts(found: list[Token]) -> list[list[Token]]:
    """The definitions between the outermost parentheses."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in found:
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.text == ")":
            break
        if depth == 1 and token.text == ",":
            parts.append([])
        elif depth > 1 or (depth == 1 and token.text != "("):
            parts[-1].append(token)
    return parts


def _expression(part: list[Token]) -> dict[str, None]:
    """What stands in the parentheses behind AS, folded; nothing for an ordinary column."""
    depth, inside = 0, False
    names: dict[str, None] = {}
    for place, token in enumerate(part):
        if depth == 0 and token.upper == "AS" and part[place + 1 : place + 2] and part[place + 1].text == "(":
            inside = True
        depth += (token.text == "(") - (token.text == ")")
        if inside and depth > 0:
            names[fold(token.name)] = None
        elif inside and token.text == ")":
            break
    return names


def _closure(column: str, direct: Mapping[str, Mapping[str, None]]) -> dict[str, None]:
    found: dict[str, None] = {}
    waiting = [*direct[column]]
    while waiting:
        name = waiting.pop()
        if name not in found and name in direct:
            found[name] = None
            waiting += direct[name]
    return found
