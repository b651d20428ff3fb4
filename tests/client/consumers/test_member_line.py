"""A member and its node: links that break, answers that are lost or late, clients that are closed."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from vdb.errors import (
    ConnectionLost,
    InvalidArgument,
    Overloaded,
    Timeout,
    UnknownConsumer,
)


async def test_a_cancelled_fetch_costs_no_attempt(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        async with consumer.member() as member:
            with trio.move_on_after(1):
                await member.fetch(wait=10)
            fake.add("ada")
            await trio.sleep(1)
            assert len(fake.groups["reminders"].out) == 1
        async with consumer.member() as member:
            (ada,) = await member.fetch()
            assert ada.attempt == 1


async def test_a_fetch_that_is_cancelled_loses_nothing(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        async with consumer.member() as member:
            with trio.move_on_after(5) as scope:
                await member.fetch(wait=60)
            assert scope.cancelled_caught
            fake.add("ada", "bob")
            await trio.sleep(1)
            assert len(fake.groups["reminders"].out) == 2
            assert [each.event.patient for each in await member.fetch(1, wait=0)] == ["ada"]
            assert [each.event.patient for each in await member.fetch(wait=0)] == ["bob"]


async def test_lost_links_raise_nothing(running: Any, fake: Any, node: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders", ack_deadline=1000)
        fake.add("ada")
        seen: list[tuple[str, int]] = []
        async with consumer.member() as member:
            fake.lose_fetches = 1
            async for delivery in member:
                seen.append((delivery.event.patient, delivery.attempt))
                node.cut()
                await delivery.ack(confirm=True)
                node.cut()
                if len(seen) == 1:
                    fake.add("bob")
                else:
                    break
        assert seen == [("ada", 1), ("bob", 1)]
        assert fake.groups["reminders"].acked == [0, 1]


async def test_what_a_lost_answer_delivered_is_told_again_and_nothing_else(running: Any, fake: Any, node: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders", ack_deadline=1000)
        fake.add(*"abcdef")
        async with consumer.member() as member:
            first = await member.fetch(2)
            await first[0].ack(confirm=True)
            fake.lose_fetches = 1
            assert [each.event.patient for each in await member.fetch(3)] == ["c", "d", "e"]
            # That answer was full: there might have been more.
            assert [each.event.patient for each in await member.fetch(3)] == ["f"]
            assert fake.asked_again == 2
            assert await member.fetch(3, wait=1) == []
            assert fake.asked_again == 2


async def test_a_fetch_that_timed_out_is_asked_again_by_the_next(running: Any, fake: Any, node: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders", ack_deadline=1000)
        fake.add(*"abc")
        async with consumer.member() as member:
            fake.lose_fetches = 10**9
            with pytest.raises(Timeout):
                await member.fetch(2, wait=0, timeout=3)
            fake.lose_fetches = 0
            assert [each.event.patient for each in await member.fetch(2)] == ["a", "b"]
            assert [each.event.patient for each in await member.fetch(2)] == ["c"]


async def test_what_comes_twice_in_one_attempt_is_handed_out_once(running: Any, fake: Any, node: Any) -> None:
    seen: list[str] = []

    async def fetch(member: Any) -> None:
        seen.extend(each.event.patient for each in await member.fetch(3, wait=30))

    async with running() as client:
        consumer = await client.create_consumer("reminders", ack_deadline=1000)
        async with consumer.member() as member:
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(fetch, member)
                await trio.sleep(1)
                fake.lose_fetches = 1
                fake.add(*"abc")
            assert sorted(seen) == ["a", "b", "c"]


async def test_fetch_says_when_nobody_answers(running: Any, fake: Any, node: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        async with consumer.member() as member:
            node.refuse_connections = 10**9
            node.cut()
            with pytest.raises(Timeout, match=r"no answer to consumerFetch within 7 s; last: nobody answers here"):
                await member.fetch(wait=5, timeout=2)
            node.refuse_connections = 0


async def test_who_waits_for_an_ack_is_told_when_nobody_answers(running: Any, fake: Any, node: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add("ada", "bob")
        async with consumer.member() as member:
            ada, bob = await member.fetch()
            node.mute = True
            with pytest.raises(Timeout) as caught:
                await ada.ack(confirm=True, timeout=3)
            assert str(caught.value) == ("no answer to settlements within 3 s; they may count, or be delivered again")
            node.mute = False
            node.cut()
            await bob.ack(confirm=True)  # behind the one before, which is sent again
            assert fake.groups["reminders"].acked == [0, 1]


async def test_a_block_that_cannot_settle_at_its_end_says_so(running: Any, fake: Any, node: Any) -> None:
    async with running(retry_for=4) as client:
        consumer = await client.create_consumer("reminders")
        fake.add("ada")
        with pytest.raises(Timeout, match=r"no answer to settlements within 4 s"):  # noqa: PT012
            async with consumer.member() as member:
                (ada,) = await member.fetch()
                await ada.ack()
                node.mute = True


async def test_an_overloaded_node_is_asked_again(running: Any, fake: Any, node: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add("ada")
        async with consumer.member() as member:
            fake.refusals = [Overloaded("too much")] * 3
            (ada,) = await member.fetch()
            node.overloaded = 3
            await ada.ack(confirm=True)
            assert fake.groups["reminders"].acked == [0]


async def test_what_is_too_large_for_one_request_is_settled_in_several(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add(*"abcdefgh")
        fake.settlements_max = 3
        async with consumer.member() as member:
            await member.ack(await member.fetch(), confirm=True)
            assert fake.groups["reminders"].acked == list(range(8))
            assert [len(call) for call in fake.settled] == [2, 2, 2, 2]


async def test_what_goes_wrong_in_the_background_is_raised_at_the_end_of_the_block(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add("ada")
        with pytest.raises(UnknownConsumer, match="no consumer 'reminders'"):  # noqa: PT012
            async with consumer.member() as member:
                (ada,) = await member.fetch()
                await consumer.delete()
                await ada.ack()


async def test_calls_under_way_end_when_their_client_is_closed(running: Any, fake: Any, node: Any) -> None:
    errors: list[str] = []

    async def fails(call: Any) -> None:
        with pytest.raises(ConnectionLost) as caught:
            await call()
        errors.append(str(caught.value))

    async with trio.open_nursery() as nursery:
        async with running() as client:
            consumer = await client.create_consumer("reminders")
            fake.add("ada")
            member = consumer.member()
            await member.__aenter__()
            (ada,) = await member.fetch()
            nursery.start_soon(fails, member.fetch)
            node.mute = True
            nursery.start_soon(fails, lambda: ada.ack(confirm=True))
            await trio.sleep(1)
    assert sorted(errors) == [
        "the client was closed before settlements were answered: they may count",
        "the client was closed while a member fetched",
    ]


async def test_a_client_that_is_closed_says_so(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add("ada")
        member = consumer.member()
        await member.__aenter__()
        (ada,) = await member.fetch()
    with pytest.raises(InvalidArgument, match="this client is closed"):
        await ada.ack()
    with pytest.raises(InvalidArgument, match="this client is closed"):
        await member.fetch()
