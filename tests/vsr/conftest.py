"""Groups of pure replicas, moved by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim.cores.hand import Hand


@pytest.fixture
def group() -> Callable[..., Hand]:
    """Make a group: `group(3)`."""
    return lambda size=3, **fields: Hand(size=size, **fields)
