"""The onlooker of a run: it hands each event of the node to the checkers of its group and to the trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field

from sim.checkers.ledger import Ledger
from sim.checkers.media import Platter
from sim.checkers.promises import Promises
from sim.checkers.shadow import Shadow
from sim.trace import Trace, short
from sim.verdict import Verdict
from vdb.kernel.command import Request
from vdb.kernel.reply import Reply
from vdb.kernel.state import State
from vdb.limits import Limits
from vdb.node.observer import Observer
from vdb.storage.superblock_layout import SuperblockState
from vdb.types import GroupId
from vdb.vsr.header import Prepare, PrepareHeader
from vdb.vsr.message import Message


@define
class GroupWatch:
    """The checkers of one group."""

    ledger: Ledger
    shadow: Shadow
    promises: Promises


@define
class Watch(Observer):
    """Survives the node's restarts. `who` names the present incarnation."""

    groups: tuple[str, ...]
    limits: Limits
    verdict: Verdict
    trace: Trace
    platter: Platter
    who: Callable[[], str]
    is_alive: Callable[[], bool]
    watches: dict[str, GroupWatch] = field(init=False)
    _opened: dict[str, None] = field(factory=dict)
    """Groups whose superblock the present incarnation has opened."""

    def __attrs_post_init__(self) -> None:
        self.watches = {
            group: GroupWatch(
                Ledger(group, self.limits, self.verdict),
                Shadow(group, self.limits.sessions_max, self.verdict),
                Promises(group, self.limits, self.verdict, self.platter),
            )
            for group in self.groups
        }

    @property
    def ops_committed(self) -> int:
        return sum(watch.ledger.head for watch in self.watches.values())

    def on_end(self) -> None:
        """An incarnation has ended."""
        self._opened.clear()
        for watch in self.watches.values():
            watch.promises.on_crash()

    # The node's events -----------------------------------------------------------------------------------------

    def on_prepare(self, group: GroupId, prepare: Prepare) -> None:
        if self.is_alive():
            self.trace.add(self.who(), "prepare", group, prepare.header.op, prepare.header.checksum)
            self.watches[group].promises.on_prepare(prepare)

    def on_send(self, group: GroupId, to: int, message: Message) -> None:
        if self.is_alive():
            self.watches[group].promises.on_send(message)

    def on_commit(
        self, group: GroupId, header: PrepareHeader, requests: Sequence[Request], replies: Sequence[Reply]
    ) -> None:
        if not self.is_alive():
            return
        watch = self.watches[group]
        self.trace.add(self.who(), "commit", group, header.op, header.checksum, header.timestamp, repr(replies))
        watch.promises.on_commit(header)
        if watch.ledger.on_commit(header, requests, replies):
            watch.shadow.on_commit(header, requests, replies)

    def on_checkpoint(self, group: GroupId, op: int, checkpoint_id: bytes) -> None:
        if self.is_alive():
            self.trace.add(self.who(), "checkpoint", group, op, checkpoint_id)
            self.watches[group].promises.on_checkpoint(op, checkpoint_id)

    def on_superblock(self, group: GroupId, state: SuperblockState) -> None:
        if not self.is_alive():
            return
        watch = self.watches[group]
        self.trace.add(self.who(), "superblock", group, state.sequence, state.view, state.checkpoint_op)
        watch.promises.on_superblock(state)
        if group not in self._opened:
            self._opened[group] = None
            watch.ledger.on_start(state.checkpoint_op)

    def on_recovered(self, group: GroupId, commit_number: int, state: State) -> None:
        if not self.is_alive():
            return
        digest = state.digest()
        watch = self.watches[group]
        self.trace.add(self.who(), "recovered", group, commit_number, short(digest))
        self.verdict.check(
            "I5",
            commit_number >= watch.ledger.head,
            f"{group}: recovered up to op {commit_number}; op {watch.ledger.head} was committed before",
        )
        watch.shadow.check_digest(commit_number, digest)
