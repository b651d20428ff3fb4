"""The lease of a SQL database: one session at a time may write, in the order in which they asked.

A statement that is a transaction of its own doesn't need its session to run it: whoever gets the lease for such a
statement takes along those that wait (`OneShot`), up to BATCH_MAX, and answers them with its own. So however many
sessions write, a round of consensus carries what has gathered during the one before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import trio
from attrs import define, field

from vdb.errors import DatabaseLocked
from vdb.marks import mark
from vdb.rare import rare
from vdb.sql.host import OneShot

BATCH_MAX = 64
"""Statements that one session runs for others at most: what they read and write is one transaction of SQLite's."""


@define(eq=False)
class _Waiter:
    owner: object
    one_shot: OneShot | None = None
    woken: trio.Event = field(factory=trio.Event)
    taken: bool = False
    """Another session runs it."""
    others: list[OneShot] = field(factory=list)


class Lease:
    """See the module's docstring. Lives in one loop."""

    def __init__(self) -> None:
        self.holder: object | None = None
        self._token: list[None] = [None]
        """Holds one item while nobody has the lease. To pop it is one step for any thread."""
        self._given_back = trio.Event()
        self._waiting: deque[_Waiter] = deque()
        self._taken: dict[OneShot, _Waiter] = {}

    def try_acquire(self, owner: object) -> bool:
        """Take the lease if nobody has it or waits for it. From any thread; it is given back in the loop."""
        try:
            self._token.pop()
        except IndexError:
            return False
        self.holder = owner
        return True

    async def wait_given_back(self) -> None:
        """Wait until somebody gives the lease back; at once if nobody has it."""
        if self.holder is not None:
            await self._given_back.wait()

    async def acquire(self, owner: object, timeout: float) -> None:
        """Wait for the lease; DatabaseLocked after `timeout` seconds."""
        await self._wait(_Waiter(owner), timeout)

    async def lead(self, owner: object, one_shot: OneShot, timeout: float) -> list[OneShot] | None:
        """Wait for the lease, or for another session to run the statement: None. The list is what to run along."""
        waiter = _Waiter(owner, one_shot)
        await self._wait(waiter, timeout)
        return None if waiter.taken else waiter.others

    def release(self, owner: object, done: Sequence[OneShot] = ()) -> None:
        """Give it back, answer those whose statements were run, and wake the next."""
        assert self.holder is owner, "a lease is given back by whoever has it"
        self.holder = None
        given_back, self._given_back = self._given_back, trio.Event()
        given_back.set()
        self.answer(done)
        if self._waiting:
            self._grant(self._waiting.popleft())
        else:
            self._token.append(None)

    def answer(self, done: Sequence[OneShot]) -> None:
        """Answer those whose statements another session took: they have their outcomes."""
        for one_shot in done:
            waiter = self._taken.pop(one_shot, None)
            if waiter is not None:
                waiter.woken.set()

    async def _wait(self, waiter: _Waiter, timeout: float) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()  # before: nobody may be cancelled with the lease in hand
        if self.try_acquire(waiter.owner):
            assert not self._waiting, "somebody waits for a lease that nobody has"
            self._grant(waiter)
            return
        self._waiting.append(waiter)
        try:
            with trio.move_on_after(timeout):
                await waiter.woken.wait()
            if waiter.taken:
                await waiter.woken.wait()
        except trio.Cancelled:
            if waiter.taken:
                # Another session is at it: whoever asks what became of it waits for this one's end.
                mark("sql.cancelled_while_taken")
                with trio.CancelScope(shield=True):
                    await waiter.woken.wait()
            self._leave(waiter)
            raise
        if not waiter.woken.is_set():
            self._leave(waiter)
            mark("sql.locked")
            raise DatabaseLocked(f"database is locked: another transaction held the writer for more than {timeout:g} s")

    def _leave(self, waiter: _Waiter) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        elif self.holder is waiter.owner and not waiter.taken:
            for one_shot in waiter.others:
                one_shot.outcome = DatabaseLocked("the session that led the batch went away: nothing was done")
            self.release(waiter.owner, waiter.others)

    def _grant(self, waiter: _Waiter) -> None:
        self.holder = waiter.owner
        waiter.woken.set()
        if waiter.one_shot is None:
            return
        settings = waiter.one_shot.settings
        for other in list(self._waiting):
            if other.one_shot is None or other.one_shot.settings != settings:
                continue
            if len(waiter.others) == BATCH_MAX or rare("lease.small_batch"):
                break
            mark("sql.batched")
            self._waiting.remove(other)
            other.taken = True
            self._taken[other.one_shot] = other
            waiter.others.append(other.one_shot)
