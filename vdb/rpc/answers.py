"""Answers: the peer's questions to this side, from their Call or Bootstrap to their Finish.

    state      meaning                                            a Finish then
    QUEUED     a call on what an earlier answer will hold         cancels it, or lets it run first if asked to
    RUNNING    dispatched                                         cancels it, unless calls wait for its capabilities
    RETURNED   the Return is on its way; only capabilities stay   forgets it
    GONE       no longer in the table; a late result is dropped   (can't come)

QUEUED -> RUNNING -> RETURNED -> GONE; an answer may leave for GONE from every state. A Finish for a question that isn't
in the table is ignored: the peer may send one after a Return that said that none was needed.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from vdb.errors import WireError
from vdb.rpc.interface import Capability, Method
from vdb.rpc.message import Content, Fault, Path


class AnswerState(Enum):
    QUEUED = "queued"
    RUNNING = "running"
    RETURNED = "returned"
    GONE = "gone"


NO_CAPABILITIES: dict[Path, Capability] = {}
NO_EXPORTS: tuple[int, ...] = ()


class Answer:
    """One question of the peer. `handle` is the driver's own; the connection never looks at it."""

    __slots__ = (
        "capabilities",
        "content",
        "exports",
        "fault",
        "finished",
        "handle",
        "interface_id",
        "method",
        "method_id",
        "question",
        "size",
        "source",
        "state",
        "target",
        "waiting",
        "without_finish",
    )

    method: Method
    """Set, with `target`, when the call is delivered."""
    target: Capability
    content: Content | None
    """The parameters. The driver drops them when it has dispatched the call: an answer may live long."""
    size: int
    """Bytes of the call's message; set while QUEUED."""

    def __init__(self, question: int, state: AnswerState, interface_id: int = 0, method_id: int = 0) -> None:
        self.question = question
        self.state = state
        self.interface_id = interface_id
        self.method_id = method_id
        self.without_finish = False
        """The caller won't pipeline: without capabilities in the results, no Finish is needed."""
        self.finished = False
        """The Finish came first, and the call runs on for the sake of others."""
        self.capabilities = NO_CAPABILITIES
        """Of the results, once RETURNED."""
        self.exports = NO_EXPORTS
        """A reference to each of these went out with the results."""
        self.fault: Fault | None = None
        self.waiting: list[tuple[Answer, Path]] | None = None
        """QUEUED answers that call on a capability of this one, in the order of their arrival."""
        self.source: Answer | None = None
        """The answer that this one waits for, while QUEUED."""
        self.handle: Any = None

    def forget_waiting(self, dependent: Answer) -> None:
        """A call that waited for this answer is canceled."""
        assert self.waiting is not None
        self.waiting = [row for row in self.waiting if row[0] is not dependent]


class AnswerTable:
    """The answers that the peer may name, by its question ids."""

    __slots__ = ("rows", "size_max")

    def __init__(self, size_max: int) -> None:
        self.size_max = size_max
        self.rows: dict[int, Answer] = {}

    def open(self, answer: Answer) -> None:
        """Enter a new answer. Raises WireError when its id is in use, or too many are unfinished."""
        if answer.question in self.rows:
            raise WireError(f"the question {answer.question} is already in use")
        if len(self.rows) >= self.size_max:
            raise WireError(f"{self.size_max} answers are unfinished")
        self.rows[answer.question] = answer

    def get(self, question: int) -> Answer:
        """Raises WireError for an answer that isn't there."""
        answer = self.rows.get(question)
        if answer is None:
            raise WireError(f"the question {question} of a promised answer isn't current")
        return answer

    def close(self, answer: Answer) -> None:
        """Forget an answer; its id may be used again."""
        assert self.rows.pop(answer.question) is answer
        answer.state = AnswerState.GONE
