"""Messages that are lost alone, or come late: replicas hear them so meanwhile, and nothing breaks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sim.bugs.catalogue import find_bug
from sim.run import run_seed
from sim.words import unsteady_words
from vdb.node.replication.group import Group
from vdb.vsr.header import ZERO_CHECKSUM, Prepare, PrepareHeader
from vdb.vsr.message import CommitOk, Headers, PrepareMessage


def header(view: int) -> PrepareHeader:
    return PrepareHeader.make(
        body=b"", parent=ZERO_CHECKSUM, checkpoint_id=ZERO_CHECKSUM, group=ZERO_CHECKSUM, view=view, op=5, commit=4,
        timestamp=5, request_count=1,
    )  # fmt: skip


def heard_by(monkeypatch: pytest.MonkeyPatch, lost: float, again: float, *messages: Any) -> list[Any]:
    """What a replica hears when it is sent these."""
    found: list[Any] = []
    monkeypatch.setattr(Group, "receive", lambda _self, message: found.append(message))
    group: Any = SimpleNamespace(name="global", superblock=SimpleNamespace(state=SimpleNamespace(replica=1)))
    before = Group.receive
    with unsteady_words(1, lost=lost, again=again):
        for message in messages:
            Group.receive(group, message)
    assert Group.receive is before
    return found


def ok(round: int) -> CommitOk:
    return CommitOk(view=1, round=round, commit=0, checkpoint_op=0, replica=2)


def test_words_are_lost_or_come_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [ok(round) for round in range(50)]
    assert heard_by(monkeypatch, 0.0, 0.0, *words) == words
    assert heard_by(monkeypatch, 1.0, 0.0, *words) == []
    again = heard_by(monkeypatch, 0.0, 1.0, *words)
    assert len(again) == 99
    assert list(dict.fromkeys(word.round for word in again)) == list(range(50))
    file: Any = SimpleNamespace(checkpoint_op=1)
    assert heard_by(monkeypatch, 1.0, 1.0, file) == [file], "what is copied is asked for again by who copies it"


def test_headers_of_another_log_come_before_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = header(1), header(2)
    sent = [PrepareMessage(prepare=Prepare(each, b""), replica=2) for each in (old, new)]
    answer = Headers(headers=(new,), replica=2)
    heard = heard_by(monkeypatch, 0.0, 1.0, *sent, answer)
    assert Headers(headers=(old,), replica=2) in heard
    assert heard.index(Headers(headers=(old,), replica=2)) < heard.index(answer)


def test_headers_that_do_not_chain_are_found() -> None:
    bug = find_bug("15")
    assert bug is not None
    violation = run_seed(6, bug=bug).violation
    assert violation is not None
    assert violation.invariant == "I17"
    assert run_seed(6, overrides=bug.overrides).ok
