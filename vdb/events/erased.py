"""What stands for an event whose subject was erased: readers, handlers, consumers and aggregates get it in its place.

    @projection.on(vdb.Erased)
    def erased(event, context): ...            # place and time are in the context, as of any event

Whoever doesn't ask for it isn't told: handlers of other types, reads by type and templates pass it over.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from vdb.events.registry import REGISTRY

ERASED_TYPE: Final = "verity/erased"


@REGISTRY.event(ERASED_TYPE)
@frozen
class Erased:
    """There was an event. Its key was destroyed, so nobody can say what it was."""


ERASED: Final = Erased()
