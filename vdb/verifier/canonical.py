"""JSON in its one canonical form (RFC 8785): no spaces, keys by their UTF-16 units, the shortest escapes.

Rules
- Numbers are integers up to 2**53 - 1: what may be larger is written as a string of digits, so no floats are needed.
- A key stands once in an object.
"""

from __future__ import annotations

import json
import re
from typing import Any

from vdb.verifier.faults import Fault

_INTEGER_MAX = 2**53 - 1
_PLAIN = re.compile(r"[ !#-\[\]-~]*")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def canonical_json(value: Any) -> bytes:
    """The bytes of texts, integers, booleans, null, lists and objects. Fault for what has no canonical form here."""
    return _canonical(value).encode("utf-8")


def canonical_event(event: dict[str, Any]) -> bytes:
    """The same bytes, made ten times as fast, of objects and lists of texts and booleans whose keys are ASCII."""
    try:
        return json.dumps(event, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8")
    except UnicodeEncodeError:
        raise Fault("a text of canonical JSON is what UTF-8 can hold; found a lone surrogate") from None


def parse_json(data: bytes) -> Any:
    """What the bytes say; Fault if they aren't JSON, or a key stands twice in an object."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_object)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise Fault("it isn't JSON in UTF-8") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Fault("a key stands twice in an object")
    return found


def _canonical(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_text(key)}:{_canonical(value[key])}" for key in sorted(value, key=_place)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_canonical, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        if abs(value) > _INTEGER_MAX:
            raise Fault(f"a number of canonical JSON is at most {_INTEGER_MAX}; found {value}")
        return str(value)
    raise Fault(f"canonical JSON holds no {type(value).__name__} here")


def _place(key: str) -> bytes:
    """Where a key stands among others: by its UTF-16 units."""
    return key.encode("utf-16-be", "surrogatepass")


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return f'"{text}"'
    if any(0xD800 <= ord(char) <= 0xDFFF for char in text):
        raise Fault("a text of canonical JSON is what UTF-8 can hold; found a lone surrogate")
    return '"' + "".join(_ESCAPES.get(char) or (char if char >= " " else f"\\u{ord(char):04x}") for char in text) + '"'
