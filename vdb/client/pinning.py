"""Heads of logs that were seen before: no node can go back behind them.

Rules
- The first head of a log that is seen is pinned; each later one has to continue the pinned one, and takes its place.
- That a tree continues another one is proven by hashes alone, whichever node signed: a new primary has another key.
- What doesn't continue is EvidenceInvalid, and the pin stays: somebody has taken records back, changed them, or shows
  two histories.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from vdb.client.evidence_line import TreeHead
from vdb.errors import EvidenceInvalid, InvalidArgument
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.merkle import verify_consistency
from vdb.evidence.note import parse_note

Consistency = Callable[[int], Awaitable[tuple[TreeHead, tuple[bytes, ...]]]]
"""From a size: the tree as it is, and that it begins with the one of that size."""


class Pins(Protocol):
    """Where heads are kept, each under the origin of its log."""

    def load(self, origin: str) -> bytes | None:
        """The note that is pinned; None: there is none."""

    def store(self, origin: str, note: bytes) -> None:
        """Durable once it returns."""


async def pinned_head(pins: Pins, head: TreeHead, consistency: Consistency) -> TreeHead:
    """The head, or one that came later, once it is clear that it continues what is pinned. EvidenceInvalid."""
    _check_own(head)
    origin = head.checkpoint.origin
    known = _known(pins, origin)
    if known is not None and known.size > 0:
        try:
            head, path = await consistency(known.size)
        except InvalidArgument as error:
            raise EvidenceInvalid(
                f"the log {origin!r} had {known.size} leaves when it was last seen, and they aren't there any more: "
                f"{error}"
            ) from None
        _check_own(head)
        check_continues(known, head.checkpoint, path)
    _pin(pins, head)
    return head


def check_continues(old: Checkpoint, new: Checkpoint, path: tuple[bytes, ...]) -> None:
    """EvidenceInvalid unless the tree of `new` begins with that of `old`, and is of the same log."""
    if new.origin != old.origin:
        raise EvidenceInvalid(f"the tree is another log's: expected {old.origin!r}, found {new.origin!r}")
    if not verify_consistency(old.size, old.root, new.size, new.root, path):
        raise EvidenceInvalid(
            f"the tree of {new.size} leaves doesn't begin with the one of {old.size} leaves that was known: what "
            "was there was changed"
        )


def _known(pins: Pins, origin: str) -> Checkpoint | None:
    data = pins.load(origin)
    if data is None:
        return None
    known = Checkpoint.parse(parse_note(data).text)
    if known.origin != origin:
        raise EvidenceInvalid(f"what is pinned for {origin!r} is a head of {known.origin!r}")
    return known


def _pin(pins: Pins, head: TreeHead) -> None:
    """Unless a longer one was pinned meanwhile."""
    known = _known(pins, head.checkpoint.origin)
    if known is None or head.checkpoint.size > known.size:
        pins.store(head.checkpoint.origin, str(head.note).encode())


def _check_own(head: TreeHead) -> None:
    if not head.note.verified_by([head.verifier]):
        raise EvidenceInvalid("the tree isn't signed by the node that shows it")
