"""The Safe Harbor check of a change of the schema: what its text says beside what it does. Pure.

Texts (defaults, lists in a CHECK, what views and triggers compare with), numbers, names and comments stand in the
schema, which everybody sees who may see a table.

Rules
- A text, a comment or a name in quotes is judged as a value is: with a space in it, it is free text. One without a
  letter or a digit, as a separator has, says nothing.
- Digits that a name joins by `_` are looked at as if they were joined by `-`: so numbers and dates in it are found.
- Bytes are refused: nobody sees what they say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from vdb.policy.safe_harbor import Finding, Scope, check_value
from vdb.policy.safe_harbor_words import Identifier

_BETWEEN_DIGITS = re.compile(r"(?<=\d)_(?=\d)")
Part = tuple[str, str]
"""What it is: "text", "bytes", "number", "name" or "comment"; and what it says."""


def check_schema(parts: Iterable[Part], scope: Scope) -> Finding | None:
    """The first identifier in the parts of a statement. A finding says what kind of part it is in."""
    for kind, said in parts:
        if not any(character.isalnum() for character in said):
            continue
        where = f"{kind} in the schema"
        if kind == "bytes":
            return Finding(where, Identifier.IMAGE)
        for one in _readings(kind, said):
            finding = check_value(where, one, scope)
            if finding is not None:
                return finding
    return None


def _readings(kind: str, said: str) -> Iterator[object]:
    if kind == "number":
        yield int(said) if said.isdigit() else said
        return
    yield said
    if kind == "name" and "_" in said:
        yield _BETWEEN_DIGITS.sub("-", said).replace("_", "=")
