"""Events of the system's own streams, as typed reads give them: `db.read_events("$consumers")`.

Who did it is the actor of the recorded event.
"""

from __future__ import annotations

from attrs import field, frozen

from vdb.events.registry import REGISTRY


@REGISTRY.event("consumer-dead-letters-replayed")
@frozen(kw_only=True)
class DeadLettersReplayed:
    """Dead letters of a consumer group are delivered anew."""

    consumer: str = field(repr=False)
    positions: tuple[int, ...]
    """The numbers of their positions, in the group of the stream that this event lies in."""
    reason: str = field(repr=False)


@REGISTRY.event("consumer-dead-letters-dropped")
@frozen(kw_only=True)
class DeadLettersDropped:
    """Dead letters of a consumer group were forgotten; their events stay in the log."""

    consumer: str = field(repr=False)
    positions: tuple[int, ...]
    """See `DeadLettersReplayed`."""
    reason: str = field(repr=False)
