"""A consumer delivers what its maker may read or consume from: a filter is no way around rules about streams."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from vdb.errors import AccessDenied

OpenClinic = Callable[..., AbstractAsyncContextManager[Any]]
POLICY = """
name = "clinic"

[roles]
officer = []
lab = []

[[binding]]
principals = ["officer@clinic.example"]
roles = ["officer"]

[[binding]]
principals = ["lee@clinic.example"]
roles = ["lab"]

[[rule]]
name = "officers-rule"
roles = ["officer"]
actions = ["policy", "audit", "create"]

[[rule]]
name = "lab"
roles = ["lab"]
actions = ["create", "consume"]
streams = ["lab-*"]

[[rule]]
name = "orders"
roles = ["lab"]
actions = ["read"]
streams = ["orders"]
"""


@pytest.mark.parametrize(
    "wider", [{}, {"prefixes": ["lab-", "notes"]}, {"prefixes": ["la"]}, {"prefixes": ["orders"]}, {"stream": "notes"}]
)
async def test_a_filter_that_goes_beyond_is_denied(clinic: OpenClinic, wider: dict[str, Any]) -> None:
    async with clinic() as found:
        await found.apply(POLICY)
        async with found.client("lee") as lee:
            with pytest.raises(AccessDenied, match="no rule allows 'read'"):
                await lee.create_consumer("lab-watch", **wider)
            assert await lee.list_consumers() == []


async def test_what_may_be_consumed_from_or_read_may_be_delivered(clinic: OpenClinic) -> None:
    async with clinic() as found:
        await found.apply(POLICY)
        async with found.client("lee") as lee:
            await lee.create_consumer("lab-watch", prefixes=["lab-", "lab-urgent-"])
            await lee.create_consumer("lab-one", stream="lab-one")
            await lee.create_consumer("lab-orders", stream="orders")
            assert sorted(one.name for one in await lee.list_consumers()) == ["lab-one", "lab-orders", "lab-watch"]
