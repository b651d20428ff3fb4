"""Feeds a replica, and does what it wants in the order that `vdb.vsr.ready` promises.

Rules
- Inputs are taken one at a time, in the order of their arrival; what the replica wants after one of them is done before
  the next, unless a view must be made durable first.
- While a view is being written, only the journal and the checkpointer are heard. What they bring about is done after
  it; messages of others wait in a bounded inbox, ticks are lost.
- A replica's messages to itself take the gate too, and are its next inputs.
- A node whose disk the group doesn't know yet promises nothing in it: what is said with the voice of the node that it
  replaces, whose acks it has lost, isn't sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

import trio

from vdb.marks import mark
from vdb.node.observer import Observer
from vdb.node.replication.send_gate import SendGate
from vdb.storage.superblock import Superblock
from vdb.storage.wal import Journal
from vdb.types import GroupId
from vdb.vsr.header import Prepare, PrepareHeader
from vdb.vsr.message import (
    CheckpointDurable,
    CommitOk,
    CoreMessage,
    DoViewChange,
    Input,
    PrepareDamaged,
    PrepareDurable,
    PrepareOk,
    StartViewChange,
    Tick,
    ViewDurable,
)
from vdb.vsr.ready import Ready, ViewChange
from vdb.vsr.replica import Replica

INBOX_MAX = 1024
"""Messages that wait while a view is being written; the oldest make room, since all of them are sent again."""

_PROMISES = (PrepareOk, CommitOk, DoViewChange, StartViewChange)
"""A `CommitOk` says that its sender has promised nobody a newer view: reads rest on it."""
_ALWAYS_HEARD = (PrepareDurable, PrepareDamaged, CheckpointDurable)


class Actor(Protocol):
    """What the driver leaves to others. All are synchronous; none of them feeds the driver but `pump`."""

    def keep(self, prepare: Prepare) -> None:
        """The journal was given this prepare."""

    def act(self, ready: Ready) -> None:
        """Commits, supplies, proofs, sync and removal: all that isn't the driver's own."""

    def lead(self, view: int) -> None:
        """This node is the primary of a view that has started."""

    def depose(self) -> None:
        """It isn't any more."""

    def pump(self) -> None:
        """All inputs are taken: there may be something to propose."""


class Driver:
    """One for each time that a group is opened. `run` writes views; everything else happens in `feed`."""

    def __init__(
        self,
        *,
        group: GroupId,
        replica: Replica,
        superblock: Superblock,
        journal: Journal,
        send: Callable[[int, CoreMessage], None],
        observer: Observer,
        actor: Actor,
        counts: Callable[[], bool] = lambda: True,
    ) -> None:
        """`counts`: whether the group knows this node's disk."""
        self._group = group
        self._replica = replica
        self._superblock = superblock
        self._journal = journal
        self._send = send
        self._observer = observer
        self._actor = actor
        self._counts = counts
        self.gate = SendGate(
            group=group, superblock=superblock, journal=journal, deliver=self._deliver, observer=observer
        )
        self._inbox: deque[Input] = deque()
        self._held: deque[Input] = deque()
        self._deferred: deque[Ready] = deque()
        """What waits for a view to become durable: the first of them holds it."""
        self._taking = False
        self._leads: int | None = None
        self._standing = (replica.view, replica.log_view, replica.status)
        self._wake = trio.Event()

    def feed(self, message: Input) -> None:
        """Take an input, now or in its turn."""
        self._inbox.append(message)
        self._drain()

    async def run(self) -> None:
        """Write the views that the replica wants durable. Runs until cancelled; raises DiskFailed."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._deferred:
                change = self._deferred[0].view_change
                assert change is not None
                await self._write(change)
                self._release(change)

    async def _write(self, change: ViewChange) -> None:
        state = await self._superblock.update(
            view=change.view,
            log_view=change.log_view,
            commit=max(change.commit, self._superblock.state.commit),
            tail=change.tail,
        )
        self._observer.on_superblock(self._group, state)

    def _release(self, change: ViewChange) -> None:
        """The view is durable: do what waited for it, tell the replica, then hear the others again."""
        self._taking = True
        deferred, self._deferred = self._deferred, deque()
        for ready in deferred:
            self._do(ready)
        self._take(ViewDurable(view=change.view, log_view=change.log_view))
        self._taking = False
        self._inbox.extendleft(reversed(self._held))
        self._held.clear()
        self._drain()

    # Inputs ----------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        if self._taking:
            return
        self._taking = True
        while self._inbox:
            message = self._inbox.popleft()
            if self._deferred and not isinstance(message, _ALWAYS_HEARD):
                self._hold(message)
            else:
                self._take(message)
        self._taking = False
        self._actor.pump()

    def _hold(self, message: Input) -> None:
        if isinstance(message, Tick):
            return
        if len(self._held) == INBOX_MAX:
            mark("driver.inbox_full")
            self._held.popleft()
        self._held.append(message)

    def _take(self, message: Input) -> None:
        ready = self._replica.on(message)
        self._tell_view()
        if self._leads is not None and self._led_view() != self._leads:
            self._leads = None
            self._actor.depose()
        if self._deferred or ready.view_change is not None:
            self._deferred.append(ready)
            self._wake.set()
        else:
            self._do(ready)
            self._look_who_leads()

    def _look_who_leads(self) -> None:
        view = self._led_view()
        if self._leads is None and view is not None:
            self._leads = view
            self._actor.lead(view)

    def _tell_view(self) -> None:
        replica = self._replica
        standing = (replica.view, replica.log_view, replica.status)
        if standing != self._standing:
            self._standing = standing
            self._observer.on_view(self._group, replica.view, replica.log_view, replica.status.value)

    def _led_view(self) -> int | None:
        """The view that this node is the serving primary of."""
        return self._replica.view if self._replica.is_serving_primary else None

    # Outputs ---------------------------------------------------------------------------------------------------

    def _do(self, ready: Ready) -> None:
        if ready.truncate is not None:
            self._observer.on_truncate(self._group, ready.truncate)
            self._journal.truncate(ready.truncate)
        for prepare in ready.persist:
            self._observer.on_prepare(self._group, prepare)
            self._actor.keep(prepare)
            self._journal.submit(prepare, self._on_prepare_durable)
        for envelope in ready.messages:
            if isinstance(envelope.message, _PROMISES) and not self._counts():
                mark("driver.disk_not_known")
                continue
            self.gate.send(envelope)
        self._actor.act(ready)

    def _deliver(self, to: int, message: CoreMessage) -> None:
        if to == self._replica.replica:
            self._inbox.append(message)
        else:
            self._send(to, message)

    def _on_prepare_durable(self, header: PrepareHeader) -> None:
        self._observer.on_durable(self._group, header)
        self.feed(PrepareDurable(header=header))
