"""No tenant takes all the room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from attrs import evolve

from vdb.errors import Overloaded
from vdb.kernel.command import INTERNAL
from vdb.limits import Limits
from vdb.node.gate.admission import Admission
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.types import DataClass, TenantId
from vdb.wire.event import encode_batch

ONE, TWO = TenantId(1), TenantId(2)
LIMITS = Limits(request_queue_max=8, requests_per_prepare_max=4)


def test_a_tenant_may_have_so_many_requests_waiting() -> None:
    admission = Admission(LIMITS)
    for _ in range(6):
        assert admission.refusal(ONE, 1) is None
        admission.enter(ONE, 1)
    refusal = admission.refusal(ONE, 1)
    assert isinstance(refusal, Overloaded)
    assert str(refusal) == "tenant 1 has 6 requests waiting: expected at most 6, try again later"
    assert admission.refusal(TWO, 1) is None, "another tenant has its own room"
    admission.leave(ONE, 1)
    assert admission.refusal(ONE, 1) is None


def test_a_tenant_may_have_so_many_bytes_waiting() -> None:
    admission = Admission(LIMITS)
    most = LIMITS.request_queue_bytes_max * 3 // 4
    assert admission.refusal(ONE, 10 * most) is None, "one is let in, whatever its size"
    admission.enter(ONE, most)
    assert str(admission.refusal(ONE, 5)) == (
        f"tenant 1 has {most} bytes of requests waiting: expected at most {most} with this one of 5, try again later"
    )
    admission.leave(ONE, most)
    assert admission.refusal(ONE, 5) is None


async def test_a_tenant_that_floods_the_node_leaves_room_for_others(
    start: Callable[..., Any], small_limits: Limits
) -> None:
    limits = evolve(small_limits, request_queue_max=16, requests_per_prepare_max=4)
    append = PlainAppend(stream="notes", runs=(PlainRun(count=1, batch=encode_batch([b"x"])),))
    with trio.fail_after(60):
        async with start(limits=limits) as node:
            for tenant in (1, 2):
                await node.service.create_stream(INTERNAL, tenant, "notes", DataClass.NON_PHI, "ap-southeast-2")
            answers: list[Any] = []
            done = trio.Event()

            def on_answer(answer: Any) -> None:
                answers.append(answer)
                if len(answers) == 40:
                    done.set()

            for _ in range(40):
                node.service.writes.append(INTERNAL, 1, (append,), on_answer)
            refused = [answer for answer in answers if isinstance(answer, Overloaded)]
            assert len(refused) == 40 - 12
            assert "tenant 1 has 12 requests waiting" in str(refused[0])
            assert (await node.service.append(INTERNAL, 2, (append,))).streams[0].next_offset == 1
            await done.wait()
            assert (await node.service.append(INTERNAL, 1, (append,))).streams[0].next_offset == 13


@pytest.mark.parametrize("size", [1, 100])
def test_who_has_nothing_waiting_takes_no_room(size: int) -> None:
    admission = Admission(LIMITS)
    admission.enter(ONE, size)
    admission.leave(ONE, size)
    assert admission._waiting == {}
