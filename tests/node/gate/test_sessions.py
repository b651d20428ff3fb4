"""Who is connected: listed, ended, and flagged where one credential comes from two machines."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio
from attrs import evolve

from sim.runner import run
from vdb.audit.entry import AuditEntry, Kind
from vdb.errors import AccessDenied, ConnectionLost, InvalidArgument
from vdb.node.identity.identities import Identities, IdentitySettings
from vdb.node.identity.live_sessions import FLAGGED_SECONDS
from vdb.node.identity.visit import Visit
from vdb.ports import Peer, PeerCertificate

OpenClinic = Callable[..., AbstractAsyncContextManager[Any]]
POLICY = """
name = "clinic"

[roles]
officer = []
operator = []
clinician = []

[[binding]]
principals = ["officer@clinic.example"]
roles = ["officer"]

[[binding]]
principals = ["ops@clinic.example"]
roles = ["operator"]

[[binding]]
principals = ["lee@clinic.example"]
roles = ["clinician"]

[[rule]]
name = "officers-rule"
roles = ["officer"]
actions = ["policy", "audit", "create"]

[[rule]]
name = "operators-operate"
roles = ["operator"]
actions = ["operate"]

[[rule]]
name = "clinicians-read"
roles = ["clinician"]
actions = ["read"]
"""
CERTIFICATE = PeerCertificate(serial="abc", not_after=1 << 62, emails=("lee@clinic.example",))


def _from(address: str, **certificate: Any) -> Peer:
    return Peer(address=address, secured=True, certificate=evolve(CERTIFICATE, **certificate))


async def test_sessions_are_listed_and_ended_by_those_who_may(governed: OpenClinic) -> None:
    async with governed(POLICY) as found, found.client("lee") as lee, found.client("ops", purpose="HSYSADMIN") as ops:
        await lee.read("notes")
        listed = await ops.cluster.sessions()
        assert [(one.principal, one.credential) for one in listed] == [
            ("lee@clinic.example", "mtls"),
            ("ops@clinic.example", "mtls"),
        ]
        first, last = listed
        assert (first.node, last.purpose) == (found.address, "HSYSADMIN")
        assert first.client.startswith("127.0.0.1:")
        assert first.since > 0
        assert 0 <= first.idle_seconds < 60
        for refused in (lee.cluster.sessions(), lee.cluster.end_session(last.id)):
            with pytest.raises(AccessDenied):
                await refused
        async with found.connect("lee") as raw:
            await raw.call("regions")
            listed = await ops.cluster.sessions()
            assert await ops.cluster.end_session(listed[-1].id)
            with trio.fail_after(10), pytest.raises(ConnectionLost):
                await _ask_until_lost(raw)
        assert not await ops.cluster.end_session(listed[-1].id)
        assert [one.id for one in await ops.cluster.sessions()] == [first.id, last.id]
        with pytest.raises(InvalidArgument, match="named HOST:PORT/NUMBER"):
            await ops.cluster.end_session("12")
        entries = [entry for entry in await found.entries(0) if entry.door == "endSession"]
        assert ("admin", "ops@clinic.example", "lee@clinic.example") in [
            (entry.kind.value, entry.actor, entry.detail.get("of")) for entry in entries
        ]


async def _sign_ins(found: Any) -> list[AuditEntry]:
    """Once there are any."""
    while True:
        entries = [one for one in await found.entries(0) if one.kind is Kind.SIGN_IN]
        if entries:
            return entries
        await trio.sleep(0.05)


async def _ask_until_lost(raw: Any) -> None:
    while True:
        await raw.call("regions")
        await trio.sleep(0.05)


def test_one_credential_from_two_machines_is_flagged() -> None:
    run(1, _flag_one_credential, budget_s=10_000)


async def _flag_one_credential() -> None:
    identities = Identities(IdentitySettings(), lambda: 1)
    sessions = identities.sessions

    def come(peer: Peer) -> Visit:
        return Visit(identities, peer, lambda: None)

    first, same = come(_from("10.0.0.1:1")), come(_from("10.0.0.1:2"))
    assert sessions.elsewhere(same) == ()
    other = come(_from("10.0.0.2:1"))
    assert sessions.elsewhere(other) == ("10.0.0.1",)
    assert sessions.elsewhere(come(_from("10.0.0.2:2"))) == (), "that was said just before"
    assert sessions.elsewhere(come(_from("10.0.0.3:2", serial="def"))) == (), "a certificate of its own"
    assert sessions.elsewhere(come(_from("10.0.0.4:2", emails=("kim",)))) == ()
    await trio.sleep(FLAGGED_SECONDS)
    assert sessions.elsewhere(other) == ("10.0.0.1",)
    first.leave()
    same.leave()
    await trio.sleep(FLAGGED_SECONDS)
    assert sessions.elsewhere(other) == (), "one after the other is one machine at a time"


async def test_what_is_flagged_stands_in_the_audit_log(clinic: OpenClinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdb.node.identity.live_sessions._host", lambda visit: visit.peer.address)
    async with clinic() as found, found.client("lee"):
        async with found.client("lee"), found.client("kim"):
            with trio.fail_after(10):
                entries = await _sign_ins(found)
        assert [(entry.actor, entry.credential) for entry in entries] == [("lee@clinic.example", "mtls")]
        assert entries[0].detail["also-from"].startswith("127.0.0.1:")
