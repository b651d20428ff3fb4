"""after_commit: live events only, at most once, and no harm to the rows."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from attrs import frozen

import vdb
from vdb.errors import DatabaseDamaged
from vdb.projections import effects
from vdb.projections.runner import ProjectionRunner
from vdb.types import GroupId, TenantId

LOCAL = GroupId("eu-west-1")
GREETED = vdb.Table("greeted", columns={"name": "text"}, key="name")


@vdb.event("effects-greeted", subject="name")
@frozen(kw_only=True)
class Greeted:
    name: str


@pytest.fixture
def seen() -> list[list[str]]:
    return []


@pytest.fixture
def greetings(seen: list[list[str]]) -> vdb.Projection:
    greetings = vdb.Projection("greetings", streams=("a",), tables=[GREETED], on_error="skip")

    @greetings.on(Greeted)
    def greeted(event: Greeted, context: vdb.Context) -> None:
        if event.name == "Bob":
            raise ValueError(event.name)
        if event.name == "Zoe":
            raise SystemExit(3)
        context.db.execute("INSERT INTO greeted VALUES (?)", (event.name,))

    @greetings.after_commit
    async def notify(batch: vdb.Batch) -> None:
        assert (batch.projection, batch.tenant, batch.group) == ("greetings", 1, LOCAL)
        names = [event.event.name for event in batch.events]
        assert names[0] in [row[0] for row in await batch.all("SELECT name FROM greeted")]
        seen.append(names)
        if "Eve" in names:
            raise ValueError("Eve")
        if "Sam" in names:
            await trio.sleep_forever()

    return greetings


def run(log: Any, disk: Any, projection: Any, live: Any, **more: Any) -> ProjectionRunner:
    async def key_for(tenant: TenantId, name: str) -> bytes:
        return bytes(32)

    return ProjectionRunner(
        disk=disk, source=log, config=projection.config(), tenant=TenantId(1), key_for=key_for, live=live, **more
    )


def publish(log: Any, typed: Any, *names: str) -> int:
    end: int = log.publish("a", [typed(Greeted(name=name), subject=name) for name in names])
    return end


async def test_live_events_have_effects_once(log: Any, disk: Any, typed: Any, seen: Any, greetings: Any) -> None:
    publish(log, typed, "Ann", "Ben")
    runner = run(log, disk, greetings, lambda group: 1 if group == LOCAL else None)
    async with trio.open_nursery() as nursery:
        await nursery.start(runner.run)
        await runner.wait_for({LOCAL: 2})
        end = publish(log, typed, "Cid", "Bob", "Dan")
        await runner.wait_for({LOCAL: end})
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert seen == [["Ben"], ["Cid"], ["Dan"]]
    again = run(log, disk, greetings, lambda group: 5)
    async with trio.open_nursery() as nursery:
        await nursery.start(again.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(seen) == 3


async def test_what_is_not_live_has_none(log: Any, disk: Any, typed: Any, seen: Any, greetings: Any) -> None:
    end = publish(log, typed, "Ann", "Ben")
    runner = run(log, disk, greetings, lambda group: None)
    async with trio.open_nursery() as nursery:
        await nursery.start(runner.run)
        await runner.wait_for({LOCAL: end})
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert seen == []


async def test_a_file_that_is_built_again_repeats_none(
    log: Any, disk: Any, typed: Any, seen: Any, greetings: Any
) -> None:
    end = publish(log, typed, "Ann", "Ben")
    runner = run(log, disk, greetings, lambda group: 0)
    async with trio.open_nursery() as nursery:
        await nursery.start(runner.run)
        await runner.wait_for({LOCAL: end})
        await trio.testing.wait_all_tasks_blocked()
        disk.databases[-1].faults.append(DatabaseDamaged("a page"))
        end = publish(log, typed, "Cid")
        await runner.wait_for({LOCAL: end})
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert disk.set_aside
    assert seen == [["Ann", "Ben"], ["Cid"]]


def test_an_effect_that_fails_does_not_touch_the_rows(
    log: Any, disk: Any, typed: Any, seen: Any, greetings: Any
) -> None:
    failures: list[str] = []

    async def main() -> None:
        runner = run(log, disk, greetings, lambda group: 0, batch_events=1, on_effect_failed=failures.append)
        async with trio.open_nursery() as nursery:
            await nursery.start(runner.run)
            for name in ("Eve", "Sam", "Ann"):
                await runner.wait_for({LOCAL: publish(log, typed, name)})
            assert len((await runner.rows("greeted")).rows) == 3
            await trio.sleep(effects.SECONDS_MAX + 1)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert seen == [["Eve"], ["Sam"], ["Ann"]]
    where = "projection 'greetings' of tenant 1: an effect of the batch that begins at eu-west-1"
    assert failures == [f"{where}:0 failed: ValueError", f"{where}:1 failed: TooSlowError"]


async def test_a_handler_that_exits_fails_as_any_other(log: Any, disk: Any, typed: Any, greetings: Any) -> None:
    end = publish(log, typed, "Ann", "Zoe", "Ben")
    runner = run(log, disk, greetings, lambda group: None)
    async with trio.open_nursery() as nursery:
        await nursery.start(runner.run)
        await runner.wait_for({LOCAL: end})
        assert (runner.status().skipped, len((await runner.rows("greeted")).rows)) == (1, 2)
        nursery.cancel_scope.cancel()


async def test_templates_have_effects_of_what_they_take(log: Any, disk: Any, typed: Any, envelope: Any) -> None:
    seen: list[Any] = []

    def make(payload: Any, **more: Any) -> vdb.Projection:
        template = vdb.LatestById(table="t", key="name", key_path="name", columns={}, payload=payload, **more)
        made = vdb.Projection(f"t_{payload}", streams=("a",), template=template)

        @made.after_commit
        async def see(batch: vdb.Batch) -> None:
            seen.extend((batch.projection, event.type, event.event) for event in batch.events)

        return made

    publish(log, typed, "Ann")
    log.publish("a", [envelope("effects-of-nobody", b'{"name": "x"}')])
    end = log.publish("a", [b'{"name": "y"}'], schema_id=0)
    for projection in (make("event"), make("json"), make("event", events=("other",))):
        runner = run(log, disk, projection, lambda group: 0, path=f"projections/{len(seen)}.db")
        async with trio.open_nursery() as nursery:
            await nursery.start(runner.run)
            await runner.wait_for({LOCAL: end})
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    ann = Greeted(name="Ann")
    assert seen == [
        ("t_event", "effects-greeted", ann),
        ("t_json", "effects-greeted", ann),
        ("t_json", "", b'{"name": "y"}'),
    ]
