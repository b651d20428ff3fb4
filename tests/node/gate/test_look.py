"""A primary that was deposed while it read doesn't have its successor vouch for what it read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vdb.errors import NotPrimary, NotReady
from vdb.node.gate.look import Look


class FakeGroup:
    """A group of which this node is the primary of view 3, until it is told otherwise."""

    name = "ap-southeast-2"

    def __init__(self) -> None:
        self.replica = SimpleNamespace(view=3)
        self.refusal: NotPrimary | None = None

    async def wait_own_log(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    def not_serving(self) -> NotPrimary | None:
        return self.refusal


async def test_who_still_leads_goes_on() -> None:
    group: Any = FakeGroup()
    (await Look.begin(group)).still_leads()


async def test_who_has_heard_of_another_primary_since_doesnt_answer() -> None:
    group: Any = FakeGroup()
    look = await Look.begin(group)
    group.refusal = NotPrimary("n2 is the primary")
    with pytest.raises(NotPrimary, match="n2 is the primary"):
        look.still_leads()


async def test_who_leads_again_in_a_later_view_doesnt_answer_from_an_earlier_one() -> None:
    group: Any = FakeGroup()
    look = await Look.begin(group)
    group.replica.view = 5
    with pytest.raises(NotReady, match="the primary of group ap-southeast-2 has changed while it was read: try again"):
        look.still_leads()
