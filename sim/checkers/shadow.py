"""The shadow: the same ops applied a second time, beside the node (I24, I31).

A kernel that is deterministic gives the same replies and the same state wherever and whenever it runs. The shadow
uses the product's kernel: it doesn't check what the kernel does (the ledger does that), only that it does it again.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from sim.verdict import Verdict
from vdb.kernel.apply import apply_request
from vdb.kernel.command import Request
from vdb.kernel.reply import Reply
from vdb.kernel.state import State
from vdb.types import GroupId
from vdb.vsr.header import PrepareHeader


@define
class Shadow:
    """State of one group at the highest op ever committed."""

    group: str
    sessions_max: int
    verdict: Verdict
    op: int = 0
    state: State = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.state = State.empty(GroupId(self.group), self.sessions_max)

    def on_commit(self, header: PrepareHeader, requests: Sequence[Request], replies: Sequence[Reply]) -> None:
        """An op that was committed for the first time."""
        self.op = header.op
        for index, (request, reply) in enumerate(zip(requests, replies, strict=False)):
            self.state, _effects, again = apply_request(self.state, request, header.timestamp + index)
            self.verdict.check(
                "I24", again == reply, f"{self.group} op {header.op}: the reply was {reply}, a second run gives {again}"
            )

    def check_digest(self, op: int, digest: bytes) -> None:
        """The node's state at `op` has this digest."""
        if op == self.op:
            self.verdict.check(
                "I24",
                digest == self.state.digest(),
                f"{self.group}: the state at op {op} differs from the one that its ops give",
            )
