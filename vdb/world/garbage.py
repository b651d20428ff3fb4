"""The process's garbage collector, for one whose memory is mostly a node's state.

The state of a million streams is some hundred thousand tree nodes that live for ever. While it is built, Python's
collector would walk what is there again and again (building took 3 times as long), and later a full collection would
walk all of it at once: a stall of the loop of 0.3 s per million rows. So nothing is collected while a node opens; then
what is there is frozen, and full collections look at what came later alone.

Only a process that belongs to a node may do this: what is frozen is never collected.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG_MAX = 20_000
"""Objects made and still there that start a collection of the young. A group commit makes some thousands, and frees
them without the collector's help."""


@contextmanager
def frozen_after() -> Iterator[None]:
    """Collect nothing inside the block; at its end freeze what is there."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(YOUNG_MAX, 20, 20)
        gc.enable()
