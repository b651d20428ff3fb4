"""No plaintext at rest: no canary in any byte or name on the disk, databases included.

The scan looks for the canary word itself, as text and as UTF-16 and base64 would show it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable

from sim.canary import WORD
from sim.verdict import Verdict


def _forms() -> tuple[bytes, ...]:
    word = WORD.encode()
    encoded = tuple(b64encode(b"x" * shift + word)[4 if shift else 0 : -4] for shift in range(3))
    return (word, WORD.encode("utf-16-le"), word.hex().encode(), *encoded)


FORMS = _forms()
PLAIN = FORMS[:1]
"""For scans in the middle of a run, of which there are many."""


def check_no_leak(verdict: Verdict, files: Iterable[tuple[str, bytes]], forms: tuple[bytes, ...] = FORMS) -> None:
    """`files` are names and contents."""
    for path, content in files:
        leaked = WORD in path or any(form in content for form in forms)
        verdict.check("no-plaintext", not leaked, f"a canary stands in clear in {path}")
