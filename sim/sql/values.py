"""Values of rows: few keys, so that statements meet each other's rows, and the ends of what SQLite can hold."""

from __future__ import annotations

from random import Random
from typing import Any

from sim.canary import WORD

KEYS = 12
"""Integer keys and words that are drawn."""

_TEXTS = ("", "é\u20ac\U0001f600", "a\x00b", "'\"", "NULL", "0", " 1 ", "1e3", f"{WORD}-sql-text")
RAW_TEXTS = (b"\xff", b"caf\xe9", b"\xc3", b"\xed\xa0\x80", b"a\x00\xfe")
"""What isn't UTF-8, and yet may be text to SQLite."""
_BLOBS = (b"", b"\x00", b"\xff\xfe\x00\x80", b"text", bytes(40))
_INTEGERS = (0, 1, -1, 2**63 - 1_000_000, -(2**63), 2**53 + 1, 127, 128, 1 << 40)
"""Not quite to the upper end: behind the largest rowid SQLite draws rowids at random, and nobody can know them."""
_REALS = (0.0, -0.0, 1.5, float("inf"), float("-inf"), 1e308, 5e-324, 9007199254740993.0, 3.0)


def word(number: int) -> str:
    """A text key."""
    return f"{WORD}-sql-{number}"


def draw_value(random: Random, kind: str) -> Any:
    """A value for a column of this kind: 'key', 'word', 'int', 'real', 'text', 'blob' or 'any'."""
    if kind == "any":
        kind = random.choice(("int", "real", "text", "blob", "null", "key"))
    elif kind not in ("key", "word") and random.random() < 0.12:
        kind = "null"
    match kind:
        case "key":
            return random.randrange(1, KEYS + 1)
        case "word":
            return word(random.randrange(KEYS))
        case "int":
            return random.choice(_INTEGERS) if random.random() < 0.3 else random.randrange(-5, 100)
        case "real":
            return random.choice(_REALS)
        case "text":
            return random.choice(_TEXTS) if random.random() < 0.5 else word(random.randrange(100))
        case "blob":
            return random.choice(_BLOBS) if random.random() < 0.6 else random.randbytes(random.randrange(60))
    return None
