"""Questions: this side's calls to the peer, from their Call or Bootstrap until their id may be used again.

state      meaning                                     a Return then
ASKED      sent; somebody waits                        is handed over, and finished unless it needs none
CANCELED   the Finish is sent; nobody waits            frees the id
GONE       answered; the id is free                    (can't come: a WireError)
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from vdb.errors import WireError
from vdb.rpc.interface import Method


class QuestionState(Enum):
    ASKED = "asked"
    CANCELED = "canceled"
    GONE = "gone"


class Question:
    """One call of ours; `method` is None for the Bootstrap. `handle` is the driver's own."""

    __slots__ = ("handle", "method", "number", "state")

    def __init__(self, number: int, method: Method | None, handle: Any) -> None:
        self.number = number
        self.method = method
        self.handle = handle
        self.state = QuestionState.ASKED


class QuestionTable:
    """Ids are reused as soon as both sides have forgotten them, the last freed one first."""

    __slots__ = ("_free", "rows")

    def __init__(self) -> None:
        self.rows: dict[int, Question] = {}
        self._free: list[int] = []

    def open(self, method: Method | None, handle: Any) -> Question:
        number = self._free.pop() if self._free else len(self.rows)
        assert number not in self.rows
        question = self.rows[number] = Question(number, method, handle)
        return question

    def close(self, number: int) -> Question:
        """Take out the question that a Return names; WireError if it wasn't asked. Its state says who waits."""
        question = self.rows.pop(number, None)
        if question is None:
            raise WireError(f"a Return for the question {number}, which wasn't asked")
        self._free.append(number)
        return question
