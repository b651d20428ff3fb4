"""What cosigned heads are held against: each kind of lie is seen."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sim.checkers.cosigned import check_cosigned, check_shown, log_of
from sim.verdict import Verdict
from vdb.crypto.signing import SigningKey
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.cosignature import cosign, witness_key
from vdb.evidence.merkle import EMPTY_ROOT
from vdb.evidence.note import Note, VerifierKey, sign_note
from vdb.types import TenantId, audit_log_of

ORIGIN = "veritydb/00/eu-west-1/t-7/data"
LOG, WITNESS, NOBODY = (SigningKey(name * 32) for name in (b"l", b"w", b"n"))
LOG_KEY, WITNESS_KEY = VerifierKey(ORIGIN, LOG.public), witness_key("w.example", WITNESS)
TREE = Checkpoint(ORIGIN, 0, EMPTY_ROOT)


def shown(*, log: SigningKey = LOG, witness: SigningKey = WITNESS, given: tuple[Checkpoint, ...] = (TREE,)) -> Verdict:
    verdict, note = Verdict(), sign_note(str(TREE), [(ORIGIN, log)])
    note = Note(note.text, (*note.signatures, cosign(note.text, "w.example", witness, 5)))
    check_shown(verdict, "n0", note, [LOG_KEY], {WITNESS_KEY: {ORIGIN: given}})
    return verdict


def test_a_head_that_all_signed_is_fine() -> None:
    assert shown().ok


@pytest.mark.parametrize("lie", [{"log": NOBODY}, {"witness": NOBODY}, {"given": ()}])
def test_one_that_somebody_has_not_signed_is_seen(lie: dict[str, Any]) -> None:
    violation = shown(**lie).violation
    assert violation is not None
    assert violation.invariant == "W4"


def test_a_tree_that_was_never_committed_is_seen() -> None:
    ledger: Any = SimpleNamespace(frames={7: []})
    verdict = Verdict()
    check_cosigned(verdict, "w0", ORIGIN, [TREE], ledger)
    assert verdict.ok
    check_cosigned(verdict, "w0", ORIGIN, [TREE, Checkpoint(ORIGIN, 1, EMPTY_ROOT)], ledger)
    assert verdict.violation is not None
    assert "1 leaves" in verdict.violation.message


def test_a_log_is_found_by_its_origin() -> None:
    assert log_of(ORIGIN) == ("eu-west-1", 7)
    assert log_of("veritydb/00/global/t-7/audit") == ("global", audit_log_of(TenantId(7)))
