"""Requests of consumer groups as they come through the gate, before they are sealed (`vdb.node.preparing.request`).

`size` is at most what each takes in a prepare's body, what every request takes apart.
"""

from __future__ import annotations

from typing import Protocol

from attrs import field, frozen

from vdb.kernel.consumer_command import Candidate, ConsumerTerms
from vdb.types import TenantId
from vdb.values import fast_frozen

SEAL_SIZE = 640
"""Bytes that a sealed text may take beside itself: header, seal, framing, and a new key's row."""
CANDIDATE_SIZE = 16
SETTLEMENT_SIZE = 32
POSITION_SIZE = 32
"""Of a dead letter's position: packed, and once more in the deed's text."""
DEED_NOTE_SIZE = 1400
"""Of what the audit log is told of a deed, or of the creation of its stream."""
DEED_SIZE = 4 * SEAL_SIZE + 2 * DEED_NOTE_SIZE
"""Of a deed beside its texts: the stream's creation, the event and their keys."""


class Window(Protocol):
    """What the primary has seen of the log behind a consumer group's cursor."""

    @property
    def created_at(self) -> int:
        """Of the consumer group that it is about."""

    def look(self, cursor: int, count_max: int) -> tuple[tuple[Candidate, ...], int] | None:
        """Up to so many candidates from the cursor on, and the position before which they are all.

        None where the window doesn't reach back to the cursor.
        """


@frozen(kw_only=True)
class PlainCreateConsumer:
    tenant: TenantId
    name: str = field(repr=False)
    terms: ConsumerTerms
    start: int | None
    """The first position that it looks at; None: where the log ends."""
    settings: str = field(repr=False)
    """What is sealed: name, filter and start (`vdb.node.consumers.consumer_sealing`)."""

    @property
    def size(self) -> int:
        return SEAL_SIZE + len(self.settings.encode())


@fast_frozen(kw_only=True)
class PlainConsumerFetch:
    tenant: TenantId
    name: str = field(repr=False)
    member: bytes
    count_max: int
    candidates_max: int
    window: Window

    @property
    def size(self) -> int:
        return CANDIDATE_SIZE * self.candidates_max


@fast_frozen
class PlainSettlement:
    position: int
    attempt: int
    verdict: int
    """A `kernel.consumer_command.Verdict`."""
    amount: int = 0
    reason: str = field(default="", repr=False)


@fast_frozen(kw_only=True)
class PlainConsumerSettle:
    tenant: TenantId
    name: str = field(repr=False)
    member: bytes
    settlements: tuple[PlainSettlement, ...]

    @property
    def size(self) -> int:
        reasons = [SEAL_SIZE + len(one.reason.encode()) for one in self.settlements if one.reason]
        return SETTLEMENT_SIZE * len(self.settlements) + sum(reasons)


@frozen(kw_only=True)
class PlainConsumerLeave:
    tenant: TenantId
    name: str = field(repr=False)
    member: bytes
    size: int = field(default=0, init=False)


@frozen(kw_only=True)
class PlainDeleteConsumer:
    tenant: TenantId
    name: str = field(repr=False)
    size: int = field(default=0, init=False)


@frozen(kw_only=True)
class PlainSettleLetters:
    tenant: TenantId
    name: str = field(repr=False)
    positions: tuple[int, ...]
    """Rising."""
    drop: bool
    actor: str = field(repr=False)
    reason: str = field(repr=False)

    @property
    def size(self) -> int:
        texts = 6 * (len(self.actor) + len(self.reason) + len(self.name))
        return DEED_SIZE + texts + POSITION_SIZE * len(self.positions)


ConsumerRequest = (
    PlainCreateConsumer
    | PlainConsumerFetch
    | PlainConsumerSettle
    | PlainConsumerLeave
    | PlainDeleteConsumer
    | PlainSettleLetters
)
