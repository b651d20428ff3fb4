"""What `vdb start` does to the collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from vdb.world.garbage import YOUNG_MAX, frozen_after


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_nothing_is_collected_inside_and_what_is_there_then_is_frozen() -> None:
    with frozen_after():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold()[0] == YOUNG_MAX


def test_the_collector_runs_again_after_an_error() -> None:
    with pytest.raises(ValueError, match="no start"), frozen_after():
        raise ValueError("no start")
    assert gc.isenabled()
