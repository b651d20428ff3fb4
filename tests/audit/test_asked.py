"""Questions to an audit log: what their words say is what they take."""

from __future__ import annotations

import pytest

from vdb.audit.asked import QUESTIONS, reaches_phi
from vdb.audit.entry import AuditEntry, Kind, Outcome

ENTRIES = [
    AuditEntry(kind=kind, action="read", outcome=outcome, data_class=data_class, actor=actor, credential="oidc")
    for kind in Kind
    for outcome in Outcome
    for data_class in ("phi", "non-phi", "")
    for actor in ("dr.lee", "")
]


def says(words: str, entry: AuditEntry) -> bool:
    """Whether the parts of a question's words that are about kind, class and outcome hold."""
    for part in words.split("; "):
        name, _, rest = part.partition(" ")
        values = rest.removeprefix("one of ").replace(" or ", ", ").split(", ")
        if name == "kind" and not rest.startswith("not ") and entry.kind.value not in values:
            return False
        if name == "data-class" and entry.data_class != rest:
            return False
        if name == "outcome" and (entry.outcome is Outcome.OK) is (rest == "not ok"):
            return False
    return True


@pytest.mark.parametrize("name", QUESTIONS)
def test_words_and_test_agree(name: str) -> None:
    question = QUESTIONS[name]
    for entry in ENTRIES:
        if question.fits(entry):
            assert says(question.words, entry), f"{name}: {question.words}: {entry}"
    simple = ("sign-ins", "sign-ins-failed", "denials", "erasures", "erasures-refused", "phi-reads", "phi-writes")
    if name in simple:
        assert [question.fits(entry) for entry in ENTRIES] == [says(question.words, entry) for entry in ENTRIES]


def test_phi_is_reached_by_what_was_done_alone() -> None:
    assert reaches_phi(AuditEntry(kind=Kind.READ, action="read", data_class="phi"))
    assert not reaches_phi(AuditEntry(kind=Kind.READ, action="read", data_class="phi", outcome=Outcome.REFUSED))
    assert not reaches_phi(AuditEntry(kind=Kind.ADMIN, action="read", data_class="phi"))


def test_a_sign_in_that_failed_names_nobody_and_that_is_right() -> None:
    failed = AuditEntry(kind=Kind.SIGN_IN, action="authenticate", outcome=Outcome.DENIED)
    assert not QUESTIONS["nobody-named"].fits(failed)
    assert QUESTIONS["nobody-named"].fits(AuditEntry(kind=Kind.SIGN_IN, action="authenticate"))
