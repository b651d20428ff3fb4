"""Consumer groups from programs without a loop, and from asyncio, over a socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import evolve

from vdb.client.connect import connect, connect_sync
from vdb.client.sync_consumer import SyncMember
from vdb.errors import DeliveryLate, InvalidArgument, UnknownConsumer


@pytest.fixture
def address(fake: Any, tcp_node: Any) -> str:
    return str(tcp_node[1])


def test_blocking_members(address: str, fake: Any) -> None:
    with connect_sync(address) as client:
        consumer = client.create_consumer("reminders", max_deliver=9)
        assert repr(consumer) == "SyncConsumer('reminders')"
        assert consumer.group() == "ap-southeast-2"
        fake.add(*"abcdefgh")
        with consumer.member() as member:
            seen = []
            for delivery in member:
                seen.append((delivery.event.patient, delivery.attempt))
                delivery.ack()
                if len(seen) == 4:
                    break
            assert seen == [("a", 1), ("b", 1), ("c", 1), ("d", 1)]
        group = fake.groups["reminders"]
        assert group.acked == [0, 1, 2, 3]
        assert not group.out
        with consumer.member("w") as member:
            found = member.fetch()
            assert [each.event.patient for each in found] == list("efgh")
            assert [each.offset for each in found] == [4, 5, 6, 7]
            member.ack(found[:2], confirm=True)
            found[2].extend(60)
            found[2].nak(3600)
            found[3].term("no such patient", confirm=True)
            assert member.fetch(wait=0) == []
            assert str(found[3].position) == "ap-southeast-2:7"
            assert (found[3].stream, found[3].recorded.type) == ("visits", "consumer-test-booked")
            assert found[3].deadline > 0
            assert "settled='term'" in repr(found[3])
        assert consumer.info().acked == 6
        assert [info.name for info in client.list_consumers()] == ["reminders"]


def test_blocking_dead_letters(address: str, fake: Any) -> None:
    with connect_sync(address) as client:
        client.create_consumer("reminders")
        consumer = client.consumer("reminders")
        fake.add(*"abc")
        with consumer.member() as member:
            for delivery in member.fetch():
                delivery.term("why not")
        letters = consumer.dead_letters()
        assert [(letter.offset, letter.attempts, letter.reason) for letter in letters] == [
            (number, 1, "why not") for number in range(3)
        ]
        assert letters[0].recorded().event.patient == "a"
        assert "DeadLetter" in repr(letters[0])
        assert consumer.replay(letters[:1], reason="again", actor="ops") == 1
        assert consumer.drop([letters[1].position]) == 1
        assert consumer.drop() == 1
        assert [deed[0] for deed in fake.deeds] == [[0], [1], []]
        assert consumer.delete()
        with pytest.raises(UnknownConsumer, match="has no consumer 'reminders'"):
            consumer.info()


def test_a_blocking_block_that_fails_gives_back(address: str, fake: Any) -> None:
    with connect_sync(address) as client:
        consumer = client.create_consumer("reminders")
        fake.add("ada", "bob")
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            with consumer.member() as member:
                member.fetch()[0].ack()
                raise ZeroDivisionError
        group = fake.groups["reminders"]
        assert group.acked == [0]
        assert list(group.waiting) == [1]
        with consumer.member() as member:
            (bob,) = member.fetch()
        for settle in (bob.ack, bob.nak, lambda: bob.ack(confirm=True), member.fetch, lambda: next(member)):
            with pytest.raises(InvalidArgument, match="this member has left its consumer group: make another one"):
                settle()
        other = consumer.member()
        with pytest.raises(InvalidArgument, match="enter the member first"):
            other.fetch()


class ManualClock:
    def __init__(self) -> None:
        self.now = 0

    def monotonic_ns(self) -> int:
        return self.now

    def wall_us(self) -> int:
        return self.now // 1000


@pytest.mark.parametrize("stale", [False, True])
def test_what_is_fresh_is_handed_out_without_a_way_into_the_loop(address: str, fake: Any, stale: bool) -> None:
    with connect_sync(address) as client:
        consumer = client.create_consumer("reminders", ack_deadline=1000)
        fake.add(*"abcdefghijklmnopqrstuvwxyz")
        clock, hops = ManualClock(), []

        def run(function: Any) -> Any:
            hops.append(function)
            return client._run(function)

        member = SyncMember(consumer._inner.member(), evolve(consumer._loop, clock=clock, run=run))
        seen = []
        with member:
            hops.clear()
            for delivery in member:
                seen.append(delivery.event.patient)
                delivery.ack()
                if stale:
                    clock.now += 10**13
                if len(seen) == 26:
                    break
            assert len(hops) == 26 if stale else len(hops) < 10
        assert seen == list("abcdefghijklmnopqrstuvwxyz")
        assert fake.groups["reminders"].acked == list(range(26))


def test_what_comes_too_late_is_told(address: str, fake: Any) -> None:
    with connect_sync(address) as client:
        consumer = client.create_consumer("reminders")
        fake.add("ada")
        with consumer.member() as member:
            (ada,) = member.fetch()
            fake.groups["reminders"].out.clear()
            with pytest.raises(DeliveryLate, match="from ap-southeast-2:0 isn't this member's any more"):
                ada.ack(confirm=True)


def test_asyncio(address: str, fake: Any) -> None:
    async def main() -> None:
        async with connect(address) as client:
            consumer = await client.create_consumer("reminders")
            fake.add(*"abcdefgh")
            seen = []

            async def work() -> None:
                async with consumer.member() as member:
                    async for delivery in member:
                        seen.append(delivery.event.patient)
                        await delivery.ack()

            task = asyncio.create_task(work())
            while len(seen) < 8:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            group = fake.groups["reminders"]
            assert group.acked == list(range(8))
            assert not group.out
            assert group.left == 1

    asyncio.run(main())


@pytest.mark.parametrize("way", ["cancelled", "timed out"])
def test_asyncio_ends_a_client_with_its_member(address: str, fake: Any, way: str) -> None:
    fake.add(*"abcdefgh")
    handled = asyncio.Event()

    async def work() -> None:
        async with connect(address) as client:
            consumer = await client.create_consumer("reminders")
            async with consumer.member() as member:
                async for delivery in member:
                    await delivery.ack()
                    if delivery.event.patient == "h":
                        handled.set()

    async def main() -> None:
        if way == "timed out":
            with pytest.raises(TimeoutError):  # noqa: PT012
                async with asyncio.timeout(None) as limit:
                    task = asyncio.create_task(handled.wait())
                    task.add_done_callback(lambda _: limit.reschedule(0))
                    await work()
            return
        task = asyncio.create_task(work())
        await handled.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    group = fake.groups["reminders"]
    assert group.acked == list(range(8))
    assert not group.out
