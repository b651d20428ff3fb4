"""JSON in its one canonical form (RFC 8785): no spaces, keys by their UTF-16 units, the shortest escapes.

Rules
- Numbers are integers up to 2**53 - 1: what may be larger is written as a string of digits, so no floats are needed.
- A key stands once in an object.
"""

from __future__ import annotations

import json
from typing import Any

from vdb.verifier.faults import Fault

_INTEGER_MAX = 2**53 - 1
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def canonical_json(value: Any) -> bytes:
    """The bytes of texts, integers, booleans, null, lists and objects. Fault for what has no canonical form here."""
    return _canonical(value).encode("utf-8")


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
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        if abs(value) > _INTEGER_MAX:
            raise Fault(f"a number of canonical JSON is at most {_INTEGER_MAX}; found {value}")
        return str(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_canonical, value)) + "]"
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_text(key)}:{_canonical(value[key])}" for key in keys) + "}"
    raise Fault(f"canonical JSON holds no {type(value).__name__} here")


def _text(text: str) -> str:
    if any(0xD800 <= ord(char) <= 0xDFFF for char in text):
        raise Fault("a text of canonical JSON is what UTF-8 can hold; found a lone surrogate")
    return '"' + "".join(_ESCAPES.get(char) or (char if char >= " " else f"\\u{ord(char):04x}") for char in text) + '"'
