"""The scan for plaintext finds a canary in names and contents, in the forms in which it could hide."""

from __future__ import annotations

from base64 import b64encode

import pytest

from sim.canary import WORD, payload
from sim.checkers.leaks import check_no_leak
from sim.verdict import Verdict


@pytest.mark.parametrize(
    "content",
    [
        payload(client=1, number=2, group="g", entity=3, size=40),
        b"\0" * 100 + WORD.encode("utf-16-le") + b"\0",
        b64encode(b"a" + WORD.encode() + b"tail"),
        b64encode(WORD.encode() + b"tail"),
        b64encode(b"ab" + WORD.encode() + b"tail"),
        WORD.encode().hex().encode(),
    ],
)
def test_canary_is_found(content: bytes) -> None:
    verdict = Verdict()
    check_no_leak(verdict, [("wal", content)])
    assert verdict.violation is not None
    assert verdict.violation.message == "a canary stands in clear in wal"


def test_canary_in_a_name_is_found_and_ciphertext_is_not() -> None:
    verdict = Verdict()
    check_no_leak(verdict, [("wal", bytes(range(256)))])
    assert verdict.ok
    check_no_leak(verdict, [(f"log/{WORD}", b"")])
    assert not verdict.ok
