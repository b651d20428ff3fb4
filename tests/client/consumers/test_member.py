"""Members of consumer groups: what they get, and what becomes of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import trio

from vdb.consumers import Verdict
from vdb.errors import (
    ConnectionLost,
    DeliveryLate,
    InvalidArgument,
    InvalidEvent,
    Overloaded,
    Timeout,
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
            one, _ = await member.fetch()
            await one.ack()
        group = fake.groups["reminders"]
        assert (group.acked, list(group.waiting)) == ([0], [1])
        async with consumer.member() as member:
            (again,) = await member.fetch()
            assert (again.event.patient, again.attempt) == ("bob", 2)


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


async def test_what_goes_wrong_in_the_background_is_raised_at_the_end_of_the_block(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add("ada")
        with pytest.raises(UnknownConsumer, match="no consumer 'reminders'"):  # noqa: PT012
            async with consumer.member() as member:
                (ada,) = await member.fetch()
                await consumer.delete()
                await ada.ack()


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
            with pytest.raises(InvalidArgument, match="delay: expected seconds or a timedelta, found str"):
                await ada.nak("soon")
            with pytest.raises(InvalidArgument, match="seconds: expected more than 0, found 0"):
                await ada.extend(0)
            with pytest.raises(InvalidArgument, match="the reason of a dead letter is text: expected a str, found int"):
                await ada.term(5)
            with pytest.raises(TooLarge, match="the reason of a dead letter has at most 1024 bytes; found 1025"):
                await ada.term("x" * 1025)
            await ada.ack(confirm=True)


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
