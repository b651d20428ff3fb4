"""Tasks of clients inside a simulated node, as those of an embedding program: they end with its incarnation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from sim.machine import Machine
from sim.world.fence import Crashed


@contextmanager
def living(machine: Machine) -> Iterator[None]:
    """The block ends with the incarnation, wherever it stands, and is paused with it."""
    fence = machine.fence
    assert fence is not None
    with trio.CancelScope() as scope, machine.tasks.members():
        with fence.ending(scope):
            try:
                yield
            except Crashed:
                pass
            except Exception:
                if not fence.tripped:
                    raise
