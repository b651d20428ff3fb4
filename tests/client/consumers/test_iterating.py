"""Iterating over deliveries: what is fetched ahead, how long it may lie there, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from vdb.consumers import Verdict
from vdb.errors import (
    UnknownConsumer,
)


async def test_what_was_fetched_ahead_and_not_handed_out_costs_no_attempt(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add(*"abcdefghij")
        seen: list[str] = []
        async with consumer.member() as member:
            async for delivery in member:
                seen.append(delivery.event.patient)
                await delivery.ack()
                if len(seen) == 4:
                    break
            await trio.sleep(1)
            assert len(fake.groups["reminders"].out) > 2
        assert not fake.groups["reminders"].out
        async with consumer.member() as member:
            found = await member.fetch()
            assert [(each.event.patient, each.attempt) for each in found] == [(name, 1) for name in "efghij"]


async def test_iterating_ends_cleanly_on_cancellation(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add(*"abcdefghij")
        seen: list[str] = []
        with trio.move_on_after(100) as scope:
            async with consumer.member() as member:
                async for delivery in member:
                    seen.append(delivery.event.patient)
                    await delivery.ack()
        assert scope.cancelled_caught
        assert seen == list("abcdefghij")
        group = fake.groups["reminders"]
        assert group.acked == list(range(10))
        assert not group.out
        assert group.left == 1


async def test_a_cancellation_of_the_whole_client_settles_all_the_same(node: Any, make_client: Any, fake: Any) -> None:
    fake.add(*"abcdefghijkl")
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        with trio.CancelScope() as scope:
            async with make_client() as client:
                consumer = await client.create_consumer("reminders")
                async with consumer.member() as member:
                    async for delivery in member:
                        await delivery.ack()
                        if delivery.event.patient == "j":
                            scope.cancel()
        assert scope.cancelled_caught
        nursery.cancel_scope.cancel()
    group = fake.groups["reminders"]
    assert group.acked == list(range(10))
    assert not group.out


async def test_iterating_fetches_more_at_a_time_while_events_are_handled_fast(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add(*"abcdefghijklmnopqrstuvwxyz")
        count = 0
        async with consumer.member(prefetch=8) as member:
            async for delivery in member:
                await delivery.ack()
                count += 1
                if count == 26:
                    break
        assert fake.fetched[:4] == [1, 2, 2, 4]
        assert max(fake.fetched) == 8


async def test_slow_handlers_hold_one_delivery_at_a_time(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders", ack_deadline=30)
        fake.add(*"abc")
        count = 0
        async with consumer.member() as member:
            async for delivery in member:
                assert len(fake.groups["reminders"].out) == 1
                await trio.sleep(20)
                await delivery.ack(confirm=True)
                count += 1
                if count == 3:
                    break
        assert fake.fetched == [1, 1, 1]


async def test_without_prefetch_each_is_fetched_when_it_is_asked_for(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add(*"abcd")
        count = 0
        async with consumer.member(prefetch=0) as member:
            async for delivery in member:
                await delivery.ack()
                count += 1
                if count == 4:
                    break
        assert fake.fetched == [1, 1, 1, 1]


async def test_nothing_is_fetched_ahead_where_an_event_is_delivered_once(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders", max_deliver=1)
        fake.add(*"abcdefgh")
        count = 0
        async with consumer.member() as member:
            async for delivery in member:
                await delivery.ack()
                count += 1
                if count == 6:
                    break
        assert fake.fetched == [1] * 6
        assert not fake.groups["reminders"].letters


async def test_a_delivery_that_lay_here_is_extended_before_it_is_handed_out(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders", ack_deadline=30)
        fake.add(*"abcdefg")
        seen: list[str] = []
        async with consumer.member() as member:
            async for delivery in member:
                seen.append(delivery.event.patient)
                if seen[-1] in "de":
                    await trio.sleep(10)
                await delivery.ack()
                if len(seen) == 7:
                    break
        assert seen == list("abcdefg")
        assert any(each.verdict is Verdict.EXTEND for call in fake.settled for each in call)
        assert fake.groups["reminders"].acked == list(range(7))


async def test_what_missed_its_deadline_here_isnt_handed_out(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders", ack_deadline=30)
        fake.add(*"abcdefg")
        seen: list[tuple[str, int]] = []
        async with consumer.member() as member:
            async for delivery in member:
                seen.append((delivery.event.patient, delivery.attempt))
                if seen[-1] == ("d", 1):
                    await trio.sleep(40)
                await delivery.ack()
                if len(seen) == 8:
                    break
        # What was fetched with "d", and ahead of it, is delivered again; so is "d" itself, whose ack came too late.
        assert seen[:4] == [("a", 1), ("b", 1), ("c", 1), ("d", 1)]
        assert sorted(seen[4:]) == [("d", 2), ("e", 2), ("f", 2), ("g", 2)]


async def test_an_outage_raises_nothing_while_iterating(running: Any, fake: Any, node: Any) -> None:
    async with running(retry_for=5) as client:
        consumer = await client.create_consumer("reminders", ack_deadline=1000)
        fake.add("ada", "bob")
        async with consumer.member() as member:
            iterator = aiter(member)
            await (await anext(iterator)).ack()
            node.refuse_connections = 10**9
            node.cut()

            async def come_back() -> None:
                await trio.sleep(500)
                node.refuse_connections = 0

            async with trio.open_nursery() as nursery:
                nursery.start_soon(come_back)
                delivery = await anext(iterator)
                assert delivery.event.patient == "bob"
            assert trio.current_time() >= 500
            await delivery.ack(confirm=True)
            assert fake.groups["reminders"].acked == [0, 1]


async def test_a_consumer_that_is_deleted_ends_its_members(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add("ada", "bob")
        why = "tenant 1 has no consumer 'reminders' in group ap-southeast-2"
        with pytest.raises(UnknownConsumer, match=why):  # noqa: PT012
            async with consumer.member() as member:
                async for delivery in member:
                    await consumer.delete()
                    await delivery.ack()
                    await trio.sleep(1)


async def test_a_fetch_takes_what_iterating_left_while_it_is_in_time(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders", ack_deadline=30)
        fake.add(*"abcdefg")
        async with consumer.member() as member:
            for _ in range(4):
                await (await anext(member)).ack()
            assert [(each.event.patient, each.attempt) for each in await member.fetch(1)] == [("e", 1)]
        async with consumer.member() as member:
            for _ in range(2):
                await anext(member)
            await trio.sleep(40)
            assert {each.attempt for each in await member.fetch()} == {2, 3}
