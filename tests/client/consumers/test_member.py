"""Members of consumer groups: what they get, and what becomes of it."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

import pytest
import trio

from vdb.errors import (
    DeliveryLate,
    InvalidArgument,
    InvalidEvent,
    TooLarge,
    UnknownConsumer,
    UnknownEventType,
)
from vdb.types import Position


async def test_fetch_and_ack(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add("ada", "bob", "cyd")
        async with consumer.member() as member:
            first = await member.fetch(2)
            assert [(each.event.patient, each.attempt) for each in first] == [("ada", 1), ("bob", 1)]
            assert first[1].position == Position.parse("ap-southeast-2:1")
            assert (first[1].stream, first[1].offset) == ("visits", 1)
            assert first[0].recorded.type == "consumer-test-booked"
            assert first[0].recorded.time == 1000
            assert first[0].deadline > 0
            await member.ack(first)
            (last,) = await member.fetch()
            await last.ack(confirm=True)
            assert fake.groups["reminders"].acked == [0, 1, 2]
            assert await member.fetch(wait=0) == []
            assert await member.fetch(wait=timedelta(seconds=50)) == []


async def test_acks_go_together_in_the_background(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add(*"abcdef")
        async with consumer.member() as member:
            for delivery in await member.fetch():
                await delivery.ack()
            assert fake.settled == []
            await trio.sleep(1)
            assert [len(call) for call in fake.settled] == [6]


async def test_what_isnt_settled_is_given_back_at_the_end_of_the_block(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add("ada", "bob")
        async with consumer.member() as member:
            one, other = await member.fetch()
            await one.ack()
            assert other.event.patient == "bob"
        group = fake.groups["reminders"]
        assert (group.acked, list(group.waiting)) == ([0], [1])
        async with consumer.member() as member:
            (again,) = await member.fetch()
            assert (again.event.patient, again.attempt) == ("bob", 2)


async def test_an_event_that_always_fails_costs_those_behind_it_nothing(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders", max_deliver=2, backoff=(0, 0))
        fake.add("ada", "bob", "cid", "dan")
        for _ in range(3):
            with contextlib.suppress(ZeroDivisionError):
                async with consumer.member() as member:
                    while batch := await member.fetch(wait=0):
                        for delivery in batch:
                            if delivery.event.patient == "bob":
                                raise ZeroDivisionError
                            await delivery.ack()
        assert [letter.offset for letter in await consumer.dead_letters()] == [1]
        assert sorted(fake.groups["reminders"].acked) == [0, 2, 3]


@pytest.mark.parametrize("iterating", [False, True])
async def test_acks_are_sent_and_the_rest_given_back_when_a_block_fails(
    running: Any, fake: Any, iterating: bool
) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add("ada", "bob")
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with consumer.member() as member:
                if iterating:
                    async for delivery in member:
                        await delivery.ack()
                        raise ZeroDivisionError
                else:
                    await (await member.fetch())[0].ack()
                raise ZeroDivisionError
        group = fake.groups["reminders"]
        assert group.acked == [0]
        assert not group.out


async def test_nak_waits_for_the_backoff_or_as_long_as_it_says(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders", backoff=(5, 60))
        fake.add("ada", "bob")
        async with consumer.member() as member:
            ada, bob = await member.fetch()
            await ada.nak()
            await bob.nak(delay=timedelta(seconds=8))
            start = trio.current_time()
            (again,) = await member.fetch(wait=100)
            assert (again.event.patient, again.attempt) == ("ada", 2)
            assert 5 <= trio.current_time() - start < 6
            (again,) = await member.fetch(wait=100)
            assert (again.event.patient, again.attempt) == ("bob", 2)
            assert 8 <= trio.current_time() - start < 9


async def test_a_delivery_is_made_again_after_its_deadline_unless_it_is_extended(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders", ack_deadline=10)
        fake.add("ada", "bob")
        async with consumer.member() as member:
            _, bob = await member.fetch()
            await trio.sleep(5)
            await bob.extend()
            await bob.extend(50)
            (again,) = await member.fetch(wait=100)
            assert (again.event.patient, again.attempt) == ("ada", 2)
            await bob.ack(confirm=True)


async def test_what_comes_too_late_is_told_to_who_waits_for_it(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders", ack_deadline=10)
        fake.add("ada", "bob")
        async with consumer.member() as member, consumer.member() as other:
            ada, bob = await member.fetch()
            await trio.sleep(11)
            assert len(await other.fetch()) == 2
            with pytest.raises(DeliveryLate) as caught:
                await member.ack([ada, bob], confirm=True)
            assert str(caught.value) == (
                "consumer 'reminders': what was delivered from ap-southeast-2:0, ap-southeast-2:1 isn't this member's "
                "any more: its deadline has passed, or it was settled or given back before; it may have been delivered "
                "again"
            )
            assert fake.groups["reminders"].acked == []


async def test_a_delivery_is_settled_once(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add("ada")
        async with consumer.member() as member:
            (ada,) = await member.fetch()
            await ada.term("no such patient")
            assert repr(ada) == "Delivery(position='ap-southeast-2:0', attempt=1, settled='term')"
            for settle in (ada.ack, ada.nak, ada.extend):
                with pytest.raises(InvalidArgument) as caught:
                    await settle()
                assert str(caught.value) == (
                    "the delivery at ap-southeast-2:0 (attempt 1) was settled already, by term"
                )


async def test_an_unknown_type_is_named_and_keeps_its_place(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add("ada")
        fake.add_unknown("consumer-test-nobody-knows")
        fake.add("bob")
        async with consumer.member() as member:
            ada, unknown, bob = await member.fetch()
            assert (ada.event.patient, bob.event.patient) == ("ada", "bob")
            with pytest.raises(UnknownEventType) as caught:
                _ = unknown.event
            assert str(caught.value) == (
                "the delivery at ap-southeast-2:1 (attempt 1) can't be decoded: unknown event type "
                "'consumer-test-nobody-knows' version 1: the name isn't registered; it lies in stream 'visits' at "
                "offset 1; it isn't lost: settle it, register its type, or open the member with ignore_unknown=True"
            )
            await unknown.nak(0)
            (again,) = await member.fetch()
            assert (again.offset, again.attempt) == (1, 2)


async def test_unknown_types_can_be_ignored(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add_unknown("consumer-test-nobody-knows")
        fake.add("ada")
        fake.add_opaque(b"raw")
        async with consumer.member(ignore_unknown=True) as member:
            found = await member.fetch(1, wait=0) + await member.fetch(1, wait=0)
            assert [each.offset for each in found] == [1, 2]
            assert found[1].event == b"raw"
        assert fake.groups["reminders"].acked == [0]


async def test_a_named_member_gets_back_what_its_earlier_life_had(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders", ack_deadline=1000)
        fake.add("ada")
        first = consumer.member("worker-1")
        await first.__aenter__()
        assert len(await first.fetch()) == 1
        # Its process is gone without a word. Another member waits for the deadline, itself it needn't.
        async with consumer.member("worker-2") as other:
            assert await other.fetch(wait=1) == []
        async with consumer.member("worker-1") as second:
            (again,) = await second.fetch(wait=0)
            assert again.event.patient == "ada"


async def test_members_are_entered_once_and_used_within_their_block(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        member = consumer.member()
        with pytest.raises(InvalidArgument, match=r"enter the member first: `async with consumer\.member\(\) as"):
            await member.fetch()
        with pytest.raises(InvalidArgument, match="enter the member first"):
            await anext(member)
        fake.add("ada")
        async with member:
            (ada,) = await member.fetch()
        for use in (member.fetch, ada.ack, lambda: anext(member)):
            with pytest.raises(InvalidArgument, match="this member has left its consumer group: make another one"):
                await use()
        with pytest.raises(InvalidArgument, match="a member can be entered once; make another one"):
            await member.__aenter__()
        with pytest.raises(UnknownConsumer):
            async with client.consumer("nobody").member():
                pass


async def test_wrong_arguments_are_named(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add("ada")
        with pytest.raises(InvalidArgument, match="prefetch: expected an int from 0 to 1000, found 1001"):
            consumer.member(prefetch=1001)
        with pytest.raises(InvalidArgument, match="a member's name is text: expected a str, found int"):
            consumer.member(7)
        with pytest.raises(InvalidArgument, match="a member's name has at least 1 byte; found none"):
            consumer.member("")
        async with consumer.member() as member:
            with pytest.raises(InvalidArgument, match="max: expected at least 1 delivery, found 0"):
                await member.fetch(0)
            with pytest.raises(InvalidArgument, match="max: expected an int from 0 to 1000, found 2000"):
                await member.fetch(2000)
            with pytest.raises(InvalidArgument, match="wait: expected 0 to 315360000 seconds, found -1"):
                await member.fetch(wait=-1)
            (ada,) = await member.fetch()
            with pytest.raises(InvalidArgument, match="delay: expected 0 to 604800 seconds, found 691200"):
                await ada.nak(timedelta(days=8))
            with pytest.raises(InvalidArgument, match="delay: expected seconds or a timedelta, found str"):
                await ada.nak("soon")
            with pytest.raises(InvalidArgument, match="seconds: expected more than 0, found 0"):
                await ada.extend(0)
            with pytest.raises(InvalidArgument, match="the reason of a dead letter is text: expected a str, found int"):
                await ada.term(5)
            with pytest.raises(TooLarge, match="the reason of a dead letter has at most 1024 bytes; found 1025"):
                await ada.term("x" * 1025)
            await ada.ack(confirm=True)


async def test_an_event_that_does_not_fit_its_class_is_named(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add_body("consumer-test-booked", 1, b"{}")
        async with consumer.member(ignore_unknown=True) as member:
            (delivery,) = await member.fetch()
            with pytest.raises(InvalidEvent) as caught:
                _ = delivery.event
            assert str(caught.value) == (
                "the delivery at ap-southeast-2:0 (attempt 1) can't be decoded: event 'consumer-test-booked' version "
                "1: Object missing required field `patient` at $; it isn't lost: settle it, or leave it to a member "
                "that can decode it"
            )
            await delivery.term("not what it says", confirm=True)
