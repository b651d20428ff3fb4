"""Write sessions of others: their numbers and kept answers are their own, whoever has learnt of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from vdb.audit.entry import AuditEntry, Kind, Outcome
from vdb.errors import AccessDenied, NotAuthenticated, SessionExpired
from vdb.kernel.command import Origin
from vdb.node.doors.accept import INTERFACE
from vdb.node.gate.caller import EMBEDDED
from vdb.node.gate.guard import Guard
from vdb.node.gate.session_owners import SESSION_OWNER
from vdb.node.preparing.request import PlainAppend, PlainSession
from vdb.rpc.client import RpcClient

OpenClinic = Callable[..., AbstractAsyncContextManager[Any]]
Build = Callable[[Any], None]
PLACE = "ap-southeast-2"
CLIENT = b"c" * 16
NOTES = {"tenant": 1, "stream": "notes"}
LABS = {"tenant": 1, "group": PLACE, "consumer": "labs"}


def _with(origin: Origin | None = None, **fields: Any) -> Build:
    def build(params: Any) -> None:
        for name, value in fields.items():
            setattr(params, name, value)
        if origin is not None:
            params.origin.client, params.origin.session, params.origin.number = (
                origin.client,
                origin.session,
                origin.number,
            )

    return build


async def _opened(client: RpcClient, name: bytes = CLIENT) -> int:
    return int((await client.call("openSession", _with(client=name, group=PLACE))).session)


def _appending(origin: Origin, stream: str) -> Build:
    def build(params: Any) -> None:
        _with(origin, tenant=1)(params)
        append = params.init("appends", 1)[0]
        append.stream = stream
        append.init("runs", 1)[0].payloads = [b"x"]

    return build


DOORS: dict[str, Callable[[Origin], Build]] = {
    "createStream": lambda origin: _with(origin, tenant=1, stream="mine", dataClass=1, placement=PLACE),
    "publish": lambda origin: _with(origin, **NOTES, payloads=[b"x"]),
    "append": lambda origin: _appending(origin, "notes"),
    "sqlCreate": lambda origin: _with(origin, tenant=1, database="main", dataClass=1, placement=PLACE),
    "consumerCreate": lambda origin: _with(origin, **LABS),
    "consumerSettle": lambda origin: _with(origin, **LABS, member=b"m" * 16),
    "consumerLeave": lambda origin: _with(origin, **LABS, member=b"m" * 16),
    "consumerDelete": lambda origin: _with(origin, **LABS),
    "deadLettersSettle": lambda origin: _with(origin, **LABS),
}


def _denials(entries: list[AuditEntry], door: str) -> list[AuditEntry]:
    return [one for one in entries if one.kind is Kind.DENY and one.door == door and one.rule == SESSION_OWNER]


async def test_who_has_learnt_of_a_session_sends_nothing_in_it(clinic: OpenClinic) -> None:
    """Through each door: it would use up a number, and with the number of another's request give its kept answer."""
    async with clinic() as found, found.connect("lee") as lee, found.connect("mallory") as mallory:
        await lee.call("createStream", _with(**NOTES, dataClass=1, placement=PLACE))
        session = await _opened(lee)
        first = await lee.call("publish", _with(Origin(CLIENT, session, 1), **NOTES, payloads=[b"hello"]))
        for door, build in DOORS.items():
            for number in (1, 2):
                with pytest.raises(AccessDenied, match=f"session {session} was opened by another principal"):
                    await mallory.call(door, build(Origin(CLIENT, session, number)))
            denials = _denials(await found.entries(1), door)
            assert [(one.actor, one.outcome) for one in denials] == [("mallory@clinic.example", Outcome.DENIED)] * 2, (
                door
            )
        again = await lee.call("publish", _with(Origin(CLIENT, session, 1), **NOTES, payloads=[b"hello"]))
        assert again.firstOffset == first.firstOffset
        second = await lee.call("publish", _with(Origin(CLIENT, session, 2), **NOTES, payloads=[b"again"]))
        assert second.firstOffset == first.firstOffset + 1


def test_the_doors_that_name_a_session_are_these() -> None:
    taking = {name for name, method in INTERFACE.by_name.items() if "origin" in method.params.schema.fields}
    assert taking == set(DOORS)


async def test_the_same_principal_goes_on_elsewhere(clinic: OpenClinic) -> None:
    async with clinic() as found:
        async with found.connect("lee") as lee:
            await lee.call("createStream", _with(**NOTES, dataClass=1, placement=PLACE))
            session = await _opened(lee)
        async with found.connect("lee") as lee:
            await lee.call("publish", _with(Origin(CLIENT, session, 1), **NOTES, payloads=[b"hello"]))
            # For whom a program asks is its own affair.
            await lee.call("speakFor", _with(person="mallory@clinic.example"))
            await lee.call("publish", _with(Origin(CLIENT, session, 2), **NOTES, payloads=[b"hello"]))


async def test_a_session_is_its_principals_when_the_node_has_started_again(clinic: OpenClinic) -> None:
    async with clinic() as found, found.connect("lee") as lee:
        await lee.call("createStream", _with(**NOTES, dataClass=1, placement=PLACE))
        session = await _opened(lee)
    async with clinic() as found, found.connect("lee") as lee, found.connect("mallory") as mallory:
        with pytest.raises(AccessDenied):
            await mallory.call("publish", _with(Origin(CLIENT, session, 1), **NOTES, payloads=[b"x"]))
        await lee.call("publish", _with(Origin(CLIENT, session, 1), **NOTES, payloads=[b"x"]))


async def test_nobody_ends_anothers_session_by_opening_one_for_its_client(clinic: OpenClinic) -> None:
    async with clinic() as found, found.connect("lee") as lee, found.connect("mallory") as mallory:
        await lee.call("createStream", _with(**NOTES, dataClass=1, placement=PLACE))
        session = await _opened(lee)
        with pytest.raises(AccessDenied, match="another principal has a session for this client"):
            await _opened(mallory)
        (denial,) = _denials(await found.entries(), "openSession")
        assert denial.actor == "mallory@clinic.example"
        await lee.call("publish", _with(Origin(CLIENT, session, 1), **NOTES, payloads=[b"x"]))
        assert await _opened(lee) == session + 1


async def test_a_session_that_was_opened_before_owners_were_known_goes_on(clinic: OpenClinic) -> None:
    async with clinic() as found, found.connect("lee") as lee:
        await lee.call("createStream", _with(**NOTES, dataClass=1, placement=PLACE))
        session = await found.node.service.open_session(CLIENT, PLACE)
        await lee.call("publish", _with(Origin(CLIENT, session, 1), **NOTES, payloads=[b"x"]))


async def test_what_comes_before_its_session_is_no_part_of_it(clinic: OpenClinic) -> None:
    """Who knows a client, and guesses the number of its next session, is refused though that is opened at once."""
    async with clinic() as found, found.connect("lee") as lee, found.connect("mallory") as mallory:
        await lee.call("createStream", _with(**NOTES, dataClass=1, placement=PLACE))
        session = await _opened(lee, b"d" * 16) + 1
        with pytest.raises(SessionExpired):
            await mallory.call("publish", _with(Origin(CLIENT, session, 1), **NOTES, payloads=[b"x"]))
        answers: list[object] = []
        guard = found.node.service
        origin = Origin(CLIENT, session, 1)
        # Both in one turn of the node's loop: so they are in one prepare.
        group = found.node.groups[PLACE]
        group.submit(PlainSession(owner=b"o" * 32), answers.append, Origin(CLIENT, 0, 0))
        stranger = Guard(guard, EMBEDDED)
        with pytest.raises(SessionExpired):
            await stranger.append(origin, 1, [PlainAppend(stream="notes", runs=())])
        assert answers


async def test_nobody_has_no_session(clinic: OpenClinic) -> None:
    async with clinic() as found, found.connect("lee") as lee, found.connect("") as nobody:
        session = await _opened(lee)
        with pytest.raises(NotAuthenticated):
            await nobody.call("publish", _with(Origin(CLIENT, session, 1), **NOTES, payloads=[b"x"]))
