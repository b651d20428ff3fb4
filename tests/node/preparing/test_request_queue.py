"""The queue before the primary's preparer: order, bounds, and what is said when it is full."""

from __future__ import annotations

import pytest

from vdb.limits import Limits
from vdb.node.preparing.request import Pending, PlainSession, nobody
from vdb.node.preparing.request_queue import RequestQueue
from vdb.types import GroupId

LIMITS = Limits(request_queue_max=256, requests_per_prepare_max=256)


def pending(size: int = 1) -> Pending:
    return Pending(request=PlainSession(), on_reply=nobody, on_lost=nobody, size=size)


def test_requests_leave_in_the_order_of_their_arrival_but_one_that_goes_first() -> None:
    queue = RequestQueue(GroupId("global"), LIMITS)
    one, two, urgent = pending(), pending(), pending()
    queue.add(one)
    queue.add(two)
    queue.add_first(urgent)
    assert queue.first is urgent
    assert [queue.take(), queue.take()] == [urgent, one]
    assert queue.take_all() == [two]
    assert queue.first is None
    assert not queue


def test_a_full_queue_refuses_and_says_how_full_it_is() -> None:
    queue = RequestQueue(GroupId("global"), LIMITS)
    for _ in range(256):
        assert queue.refusal(1) is None
        queue.add(pending())
    with pytest.raises(Exception, match="group global has 256 requests waiting: try again later"):
        raise queue.refusal(1)  # type: ignore[misc]
    queue.take()
    assert queue.refusal(1) is None


def test_bytes_are_bounded_but_one_request_always_fits() -> None:
    queue = RequestQueue(GroupId("global"), LIMITS)
    most = LIMITS.request_queue_bytes_max
    assert queue.refusal(2 * most) is None
    queue.add(pending(most))
    refusal = queue.refusal(1)
    assert refusal is not None
    assert str(refusal) == (
        f"group global has {most} bytes of requests waiting: expected at most {most} with this one of 1, "
        "try again later"
    )
