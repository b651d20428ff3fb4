"""The gate of nodes of a cluster: who answers which read and write, and changes of members with their conditions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import trio

from vdb.errors import (
    AccessDenied,
    AuditUnavailable,
    InvalidArgument,
    LearnerBehind,
    NotPrimary,
    NotReady,
    PrimaryLost,
    SessionExpired,
    SessionGap,
    UnknownStream,
    VerityError,
)
from vdb.kernel.command import INTERNAL, Origin
from vdb.node.gate.caller import Caller, Credential
from vdb.node.gate.guard import Guard
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.policy.decide import Principal
from vdb.types import Consistency, DataClass, GroupId, Position
from vdb.wire.event import encode_batch

HOME = "ap-southeast-2"


def service(cluster: Any, number: int) -> Any:
    return cluster.machines[number].node.service


def append_to(stream: str, *payloads: bytes) -> PlainAppend:
    return PlainAppend(stream=stream, runs=(PlainRun(count=len(payloads), batch=encode_batch(payloads)),))


async def primary_and_backup(cluster: Any) -> tuple[int, int]:
    await cluster.start(0, 1, 2)
    await cluster.create("notes")
    await cluster.append("notes", b"one")
    primary = await cluster.primary()
    await cluster.converge()
    return primary, (primary + 1) % 3


def test_a_backup_names_the_primary(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        primary, backup = await primary_and_backup(cluster)
        gate, where = service(cluster, backup), f"n{primary}:7140"
        for call in (
            lambda: gate.append(INTERNAL, 1, (append_to("notes", b"two"),)),
            lambda: gate.append(INTERNAL, 1, (append_to("nothing", b"two"),)),
            lambda: gate.create_stream(INTERNAL, 1, "more", DataClass.NON_PHI, HOME),
            lambda: gate.open_session(b"c" * 16),
            lambda: gate.read(1, "notes", 0, max_events=10),
            lambda: gate.read_log(1, HOME, 0, max_events=10),
            lambda: gate.get_stream(1, "notes"),
            lambda: gate.get_stream(1, "nothing"),
            lambda: gate.list_streams(1),
            lambda: gate.promote_member(HOME, 2),
            lambda: gate.abdicate(HOME),
        ):
            with pytest.raises(NotPrimary) as caught:
                await call()
            assert caught.value.primary == where
        with pytest.raises(UnknownStream):
            await service(cluster, primary).append(INTERNAL, 1, (append_to("nothing", b"two"),))

    in_cluster(body)


def test_any_node_answers_what_it_has(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        primary, backup = await primary_and_backup(cluster)
        gate = service(cluster, backup)
        written = await service(cluster, primary).append(INTERNAL, 1, (append_to("notes", b"two"),))
        position = written.position
        found = await gate.read(1, "notes", 0, max_events=10, level=position)
        assert (found.next_offset, found.head) == (2, 2)
        assert (await gate.get_stream(1, "notes", level=position)).next_offset == 2
        assert (await gate.read_log(1, HOME, 0, max_events=10, level=position)).head == position.number
        assert (await gate.read(1, "notes", 0, max_events=10, level=Consistency.STALE)).head == 2
        assert len((await gate.list_streams(1, level=Consistency.STALE))[0]) == 1
        with pytest.raises(UnknownStream):
            await gate.get_stream(1, "nothing", level=Consistency.STALE)
        beyond = Position(GroupId(HOME), position.number + 1)
        with pytest.raises(NotReady, match=f"up to position {position.number}: expected {beyond.number} within 5 s"):
            await gate.read(1, "notes", 0, max_events=10, level=beyond)
        with pytest.raises(InvalidArgument, match="this node has no group 'mars'"):
            await gate.read(1, "notes", 0, max_events=10, level=Position(GroupId("mars"), 1))

    in_cluster(body)


def test_a_primary_that_is_cut_off_answers_no_linearizable_read(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        primary, backup = await primary_and_backup(cluster)
        others = [number for number in range(3) if number != primary]
        for other in others:
            await cluster.stop(other)
        answers = []
        with trio.move_on_after(10.0), contextlib.suppress(NotPrimary):
            answers.append(await service(cluster, primary).read(1, "notes", 0, max_events=10))
        assert not answers
        found = await service(cluster, primary).read(1, "notes", 0, max_events=10, level=Consistency.STALE)
        assert found.head == 1
        await cluster.start(backup)
        await cluster.append("notes", b"two")

    in_cluster(body)


def test_a_primary_that_is_cut_off_does_not_say_that_a_stream_is_not_there(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        primary, _ = await primary_and_backup(cluster)
        others = [number for number in range(3) if number != primary]
        with pytest.raises(UnknownStream):
            await service(cluster, primary).append(INTERNAL, 1, (append_to("later", b"x"),))
        for other in others:
            cluster.universe.network.cut(f"n{primary}", f"n{other}")
        told: list[Exception] = []

        async def ask() -> None:
            try:
                await service(cluster, primary).append(INTERNAL, 1, (append_to("later", b"x"),))
            except (NotPrimary, NotReady, UnknownStream) as error:
                told.append(error)

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await cluster.wait_until(lambda: any(cluster.group(n).is_serving for n in others))
                await cluster.create("later")
                cluster.universe.network.heal()
        assert isinstance(told[0], NotPrimary | NotReady), told
        await cluster.append("later", b"x")

    in_cluster(body)


def test_a_read_that_waits_for_a_state_sync_finds_the_streams_in_it(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        away = (await cluster.primary() + 1) % 3
        await cluster.crash(away)
        await cluster.create("s")
        for number in range(60):
            await cluster.append("s", b"%d" % number)
        await cluster.start(away)
        # The state sync brings position 30 all at once.
        found = await service(cluster, away).read(1, "s", 0, max_events=1, level=Position(GroupId(HOME), 30))
        assert found.head >= 28

    in_cluster(body)


@pytest.mark.parametrize(("ahead", "number", "refusal"), [(0, 3, SessionGap), (1, 1, SessionExpired)])
def test_a_primary_that_is_cut_off_does_not_speak_for_a_session(
    in_cluster: Callable[..., None], ahead: int, number: int, refusal: type[VerityError]
) -> None:
    """The others may have executed number 2 meanwhile, and opened the next session."""

    async def body(cluster: Any) -> None:
        client = b"c" * 16
        primary, _ = await primary_and_backup(cluster)
        others = [number for number in range(3) if number != primary]
        session = await service(cluster, primary).open_session(client)
        origin = Origin(client, session + ahead, number)
        await service(cluster, primary).append(Origin(client, session, 1), 1, (append_to("notes", b"two"),))
        with pytest.raises(refusal):
            await service(cluster, primary).append(origin, 1, (append_to("notes", b"x"),))
        for other in others:
            cluster.universe.network.cut(f"n{primary}", f"n{other}")
        told: list[VerityError] = []

        async def ask() -> None:
            try:
                await service(cluster, primary).append(origin, 1, (append_to("notes", b"x"),))
            except VerityError as error:
                told.append(error)

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await cluster.wait_until(lambda: any(cluster.group(n).is_serving for n in others))
                await cluster.append("notes", b"three")
                assert not any(isinstance(error, refusal) for error in told), told
                cluster.universe.network.heal()
        assert isinstance(told[0], NotPrimary | NotReady | PrimaryLost), told

    in_cluster(body)


def test_status_says_who_is_who(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        primary, backup = await primary_and_backup(cluster)
        await trio.sleep(3.0)
        for number in (primary, backup):
            status = await service(cluster, number).status()
            group = next(group for group in status.groups if group.group == HOME)
            assert (status.number, status.node, status.cluster) == (number, f"n{number}", b"c" * 16)
            assert status.disk_id == cluster.row(number).disk_id
            assert status.clock_synchronised
            assert (group.primary, group.primary_address) == (primary, f"n{primary}:7140")
            assert group.serving == (number == primary)
            assert group.epoch == 0
            assert [member.node for member in group.members] == [0, 1, 2]
            assert [member.address for member in group.members] == ["n0:7140", "n1:7140", "n2:7140"]
            own = group.members[number]
            assert (own.heard_us, own.clock_offset_us, own.commit) == (0, 0, group.commit)
        heard = next(group for group in (await service(cluster, primary).status()).groups if group.group == HOME)
        for member in heard.members:
            assert member.heard_us is not None
            assert member.heard_us < 2_000_000
            assert member.commit == heard.commit
            assert member.clock_offset_us is not None

    in_cluster(body)


def test_a_node_is_added_promoted_and_removed(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        primary, _ = await primary_and_backup(cluster)
        gate = service(cluster, primary)
        cluster.add(3, cluster.machines[0].config.members, join=True)
        await cluster.start(3)
        row = cluster.row(3)
        with pytest.raises(InvalidArgument, match=f"node 3 isn't a member of group {HOME}: expected one of 0, 1, 2"):
            await gate.promote_member(HOME, 3)
        epoch = await gate.add_member(HOME, row)
        assert await gate.add_member(HOME, row) == epoch, "asking twice is harmless"
        await cluster.converge()
        assert cluster.group(primary).state.members() == tuple(cluster.row(number) for number in range(4))
        voter_since = await gate.promote_member(HOME, 3)
        assert await gate.promote_member(HOME, 3) == voter_since > epoch
        assert cluster.group(primary).replica.configuration.voters == (0, 1, 2, 3)
        with pytest.raises(InvalidArgument, match=f"node {primary} is the primary of group {HOME}: let it abdicate"):
            await gate.remove_member(HOME, primary)
        gone = await gate.remove_member(HOME, 3)
        assert await gate.remove_member(HOME, 3) == gone > voter_since
        assert cluster.group(primary).replica.configuration.members == (0, 1, 2)

    in_cluster(body)


def test_a_learner_that_does_not_run_gets_no_vote(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        primary, _ = await primary_and_backup(cluster)
        cluster.add(3, cluster.machines[0].config.members, join=True)
        await cluster.start(3)
        row = cluster.row(3)
        await cluster.stop(3)
        await service(cluster, primary).add_member(HOME, row)
        with pytest.raises(LearnerBehind, match="node 3 doesn't answer: start it, then promote it"):
            await service(cluster, primary).promote_member(HOME, 3)

    in_cluster(body)


def test_no_change_leaves_a_group_without_a_quorum_that_answers(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        primary, backup = await primary_and_backup(cluster)
        third = 3 - primary - backup
        await cluster.stop(backup)
        await trio.sleep(3.0)
        message = (
            f"would have the voters {min(primary, backup)}, {max(primary, backup)}, of which {backup} don't answer"
        )
        with pytest.raises(InvalidArgument, match=message):
            await service(cluster, primary).remove_member(HOME, third)

    in_cluster(body)


def test_a_node_with_another_disk_is_recovered(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        primary, lost = await primary_and_backup(cluster)
        gate = service(cluster, primary)
        with pytest.raises(InvalidArgument, match=f"node {lost} answers with the disk that it is known by"):
            await gate.recover_member(HOME, lost, cluster.row(lost).disk_id)
        await cluster.crash(lost)
        cluster.replace_disk(lost, join=True)
        await cluster.start(lost)
        row = cluster.row(lost)
        with pytest.raises(InvalidArgument, match=f"with another disk: .* vdb cluster recover --node {lost}"):
            await gate.add_member(HOME, row)
        for group in (HOME, "global"):
            found = service(cluster, await cluster.primary(GroupId(group)))
            await found.recover_member(group, lost, row.disk_id)
            await found.recover_member(group, lost, row.disk_id)
        with pytest.raises(LearnerBehind):
            await gate.promote_member(HOME, lost)
        await cluster.converge()
        await trio.sleep(0.5)
        await gate.promote_member(HOME, lost)
        assert sorted(cluster.group(primary).replica.configuration.voters) == [0, 1, 2]

    in_cluster(body)


def test_a_primary_abdicates(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        primary, _ = await primary_and_backup(cluster)
        await service(cluster, primary).abdicate(HOME)
        while await cluster.primary() == primary:  # noqa: ASYNC110
            await trio.sleep(0.01)
        await cluster.append("notes", b"two")

    in_cluster(body)


def test_a_session_is_its_principals_under_the_next_primary(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        client = b"c" * 16
        primary, _ = await primary_and_backup(cluster)
        owner, other = (Guard(service(cluster, primary), caller_named(name)) for name in ("lee", "mallory"))
        session = await owner.open_session(client)
        with pytest.raises(AccessDenied):
            await other.append(Origin(client, session, 1), 1, (append_to("notes", b"x"),))
        await owner.append(Origin(client, session, 1), 1, (append_to("notes", b"two"),))
        await cluster.crash(primary)
        then = await cluster.primary()
        assert then != primary
        owner, other = (Guard(service(cluster, then), caller_named(name)) for name in ("lee", "mallory"))
        for number in (1, 2):
            with pytest.raises(AccessDenied, match=f"session {session} was opened by another principal"):
                await other.append(Origin(client, session, number), 1, (append_to("notes", b"x"),))
        again = await owner.append(Origin(client, session, 1), 1, (append_to("notes", b"two"),))
        assert again.streams[0].first_offset == 1
        backup = next(number for number in cluster.running() if number != then)
        with pytest.raises((NotPrimary, NotReady, AuditUnavailable, AccessDenied)):
            await Guard(service(cluster, backup), caller_named("mallory")).append(
                Origin(client, session, 2), 1, (append_to("notes", b"x"),)
            )

    in_cluster(body)


def caller_named(name: str) -> Caller:
    return Caller(principal=Principal(name=name), credential=Credential.MTLS)
