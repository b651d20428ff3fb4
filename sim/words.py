"""Messages between replicas that are lost one by one, or come once more, late.

A simulated connection loses all that was under way, or nothing, as TCP does. The protocol promises more: any message
may be lost, and any that a replica was ever sent may reach it again, in another view and in another life. In runs that
ask for it each message is lost by a small chance, and by another one brings an older one along. Before an answer that
names headers there may come one of somebody who was left behind with another log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from sim.world.entropy import draws
from vdb.node.replication.group import Group
from vdb.vsr.header import PrepareHeader
from vdb.vsr.message import CoreMessage, Headers, Message, PrepareMessage

REMEMBERED = 200
"""Of what a replica was sent last."""


@contextmanager
def unsteady_words(seed: int, *, lost: float, again: float) -> Iterator[None]:
    """Let replicas hear each other so meanwhile; both are chances of a message."""
    if not lost and not again:
        yield
        return
    random = draws(seed, "words")
    heard: dict[tuple[str, int], deque[Message]] = {}
    versions: dict[tuple[str, int], dict[bytes, PrepareHeader]] = {}
    """By group and op: all that anybody was told to keep there."""
    receive = Group.receive

    def hear(self: Group, message: Message) -> None:
        if not isinstance(message, CoreMessage):
            receive(self, message)
            return
        if isinstance(message, PrepareMessage):
            header = message.prepare.header
            versions.setdefault((self.name, header.op), {})[header.checksum] = header
        if random.random() < lost:
            return
        if isinstance(message, Headers) and random.random() < again:
            told = [versions.get((self.name, header.op), {}) for header in message.headers]
            now = [header.checksum for header in message.headers]
            others = tuple(header for found in told for header in found.values() if header.checksum not in now)
            if others:
                receive(self, Headers(headers=others, replica=message.replica))
        receive(self, message)
        earlier = heard.setdefault((self.name, self.superblock.state.replica), deque(maxlen=REMEMBERED))
        if earlier and random.random() < again:
            receive(self, earlier[random.randrange(len(earlier))])
        earlier.append(message)

    Group.receive = hear  # type: ignore[method-assign]
    try:
        yield
    finally:
        Group.receive = receive  # type: ignore[method-assign]
