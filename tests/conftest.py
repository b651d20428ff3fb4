"""Fixtures that every test may use. Asynchronous tests run on trio."""

from __future__ import annotations

import gc

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "gate", derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("gate")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "trio"


def pytest_collection_finish() -> None:
    _put_aside()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if nextitem is None or nextitem.path != item.path:
        _put_aside()


def _put_aside() -> None:
    """What is there now stays till the end: tests, their modules, what caches hold. Each collection of garbage would
    look at it all, and simulated runs collect garbage before they begin."""
    gc.collect()
    gc.freeze()
