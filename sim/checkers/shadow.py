"""The shadow: the same ops applied once more, beside the replicas (I23, I24, I35).

A kernel that is deterministic gives the same replies and the same state wherever and whenever it runs: on each
replica, in a replay, and above a checkpoint that came from a peer. The shadow uses the product's kernel: it doesn't
check what the kernel does (the ledger does that), only that it does it again. The table of sessions with its replies
and evictions is part of the state, so it is compared too.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from sim.verdict import Verdict
from vdb.kernel.apply import apply_prepare
from vdb.kernel.command import Request
from vdb.kernel.reply import Reply
from vdb.kernel.state import State
from vdb.limits import EVENT_IDS_REMEMBERED
from vdb.types import GroupId
from vdb.vsr.header import PrepareHeader

DIGESTS_KEPT = 64


@define
class Shadow:
    """State of one group at the highest op ever committed, and digests of it at every `interval`-th op."""

    group: str
    sessions_max: int
    verdict: Verdict
    interval: int = 1
    event_ids_max: int = EVENT_IDS_REMEMBERED
    op: int = 0
    state: State = field(init=False)
    _digests: dict[int, bytes] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.state = State.empty(GroupId(self.group), self.sessions_max, self.event_ids_max)

    def on_commit(self, header: PrepareHeader, requests: Sequence[Request], replies: Sequence[Reply]) -> None:
        """An op that was committed for the first time."""
        self.op = header.op
        self.state, _effects, second = apply_prepare(self.state, requests, header.timestamp)
        for reply, again in zip(replies, second, strict=False):
            self.verdict.check(
                "I24", again == reply, f"{self.group} op {header.op}: the reply was {reply}, a second run gives {again}"
            )
        if self.is_compared(self.op):
            self._digests[self.op] = self.state.digest()
            self._digests.pop(self.op - DIGESTS_KEPT * self.interval, None)

    def is_compared(self, op: int) -> bool:
        return op % self.interval == 0

    def check_digest(self, op: int, digest: bytes, who: str = "the node") -> None:
        """The state of `who` at `op` has this digest."""
        expected = self.state.digest() if op == self.op else self._digests.get(op)
        if expected is not None:
            self.verdict.check(
                "I24",
                digest == expected,
                f"{self.group}: the state of {who} at op {op} differs from the one that its ops give",
            )
