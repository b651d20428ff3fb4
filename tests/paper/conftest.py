"""Groups of pure replicas, moved by hand, in which a view has started."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim.cores.hand import Hand
from vdb.vsr.replica import Status


@pytest.fixture
def serving() -> Callable[[int], Hand]:
    """Make a group of so many replicas in normal operation. Its view is 1, so its primary is node 1."""

    def make(size: int = 3) -> Hand:
        group = Hand(size=size)
        group.tick_until(lambda: all(host.replica.status is Status.NORMAL for host in group.hosts.values()))
        assert [host.replica.view for host in group.hosts.values()] == [1] * size
        return group

    return make


@pytest.fixture
def three(serving: Callable[[int], Hand]) -> Hand:
    return serving(3)
