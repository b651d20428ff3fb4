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
    """Thousands of tests and their modules stay till the end: each collection of garbage would look at them all."""
    gc.collect()
    gc.freeze()
