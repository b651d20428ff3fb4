"""Every method of the interface: without a credential, for another tenant, and with too low a role."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio

from vdb.audit.entry import Kind, Outcome
from vdb.errors import AccessDenied, NotAuthenticated, TransactionEnded, VerityError
from vdb.node.doors.accept import INTERFACE
from vdb.node.gate.doors import DOORS, UNGUARDED
from vdb.rpc.client import RpcClient
from vdb.types import DataClass

OpenClinic = Callable[..., AbstractAsyncContextManager[Any]]
PLACE = "ap-southeast-2"

OPEN_TO_ALL = {"openSession", "status", "regions", "getPolicy", "sqlClose", "authenticate", "speakFor"}
"""Whoever has shown who asks may call these: they tell of nobody."""
FOR_READERS = {"listStreams", "treeHead", "proveConsistency"}
"""Whoever may read anything of a tenant may ask these: what they tell is cut to it, or hashes."""
OF_A_SESSION = {
    name
    for name in DOORS
    if name.startswith("sql") and name not in {"sqlCreate", "sqlList", "sqlOpen", "sqlClose", "sqlOutcome"}
}
"""They name a session, and sessions are opened by `sqlOpen` alone."""


def _with(**fields: Any) -> Callable[[Any], None]:
    def build(params: Any) -> None:
        for name, value in fields.items():
            setattr(params, name, value)

    return build


def _plausible(tenant: int, door: str) -> Callable[[Any], None]:
    """Parameters that would be fine, but for who asks."""

    def build(params: Any) -> None:
        fields = params.schema.fields
        values = {
            "tenant": tenant,
            "stream": "notes",
            "name": "notes2",
            "group": PLACE,
            "projection": "clinic",
            "database": "main",
            "consumer": "labs",
            "table": "patients",
            "placement": PLACE,
            "dataClass": 1,
            "client": bytes(16),
            "member": bytes(16),
            "maxEvents": 10,
            "max": 10,
            "subject": "p-1",
            "basis": "GDPR 17(1)(b)",
            "reason": "because",
            "verdict": "justified",
            "purposes": ["TREAT"],
            "text": "name = 'clinic'",
            "kind": "export",
            "detail": "{}",
            "days": 30,
            "node": 1,
            "statement": "fine",
            "expert": "Dr. Who",
            "documentDigest": bytes(32),
        }
        for name in fields:
            if name in values and not (door.startswith("sql") and name in ("name", "text", "table", "statement")):
                setattr(params, name, values[name])
        if door == "publish":
            params.payloads = [b"x"]
        if door == "append":
            append = params.init("appends", 1)[0]
            append.stream = "notes"
            append.init("runs", 1)[0].payloads = [b"x"]

    return build


async def _answer(client: RpcClient, tenant: int, door: str) -> VerityError | None:
    try:
        with trio.fail_after(20):
            await client.call(door, _plausible(tenant, door))
    except VerityError as error:
        return error
    return None


def test_all_methods_of_the_interface_are_in_the_table() -> None:
    assert set(INTERFACE.by_name) == set(DOORS)


def test_doors_hold_their_guard_alone() -> None:
    for path in Path("vdb/node/doors").glob("*.py"):
        text = path.read_text()
        assert path.name in ("accept.py", "accepting.py") or ".service" not in text, path


async def test_without_a_credential_nothing_is_answered(clinic: OpenClinic) -> None:
    async with clinic() as found, found.connect("") as client:
        for door in DOORS:
            error = await _answer(client, 1, door)
            assert isinstance(error, NotAuthenticated), (door, error)
            assert "nobody has shown who asks" in str(error)


async def test_another_tenants_data_are_denied(governed: OpenClinic) -> None:
    async with governed() as found, found.connect("lee") as client:
        for door in DOORS:
            error = await _answer(client, 2, door)
            _check(door, error)


async def test_too_low_a_role_is_denied(governed: OpenClinic) -> None:
    async with governed() as found, found.connect("guest") as client:
        for door in DOORS:
            error = await _answer(client, 1, door)
            if door not in FOR_READERS:
                _check(door, error)
        listed = await client.call("listStreams", _with(tenant=1))
        assert [str(stream.name) for stream in listed.streams] == ["menu"]
        entries = [entry for entry in await found.entries() if entry.outcome is Outcome.DENIED]
        named = {entry.door for entry in entries if entry.actor == "guest@clinic.example"}
        assert {"read", "readLog", "publish", "rows", "consumerFetch", "eraseSubject", "applyPolicy"} <= named
        assert all(entry.rule and entry.policy.startswith("sha256:") for entry in entries)


def _check(door: str, error: VerityError | None) -> None:
    if door in OPEN_TO_ALL:
        assert not isinstance(error, AccessDenied | NotAuthenticated), (door, error)
    elif door in OF_A_SESSION:
        assert isinstance(error, TransactionEnded), (door, error)
    else:
        assert isinstance(error, AccessDenied), (door, error)
        assert "policy sha256:" in str(error), door


async def test_who_may_is_let_in(governed: OpenClinic) -> None:
    async with governed() as found:
        async with found.connect("lee") as client:
            await client.call("publish", _with(tenant=1, stream="notes", payloads=[b"x"], subject="p-1"))
            answer = await client.call("read", _with(tenant=1, stream="notes", maxEvents=10))
            assert [bytes(payload) for run in answer.runs for payload in run.payloads] == [b"hello", b"x"]
        entries = await found.entries(1)
        read = next(entry for entry in entries if entry.kind is Kind.READ)
        assert (read.actor, read.credential, read.rule) == ("lee@clinic.example", "mtls", "clinicians-work")
        assert (read.object, read.first, read.count, read.data_class) == ("notes", 0, 2, DataClass.PHI.label)
        written = [entry for entry in entries if entry.kind is Kind.WRITE and entry.subjects == ("p-1",)]
        assert [entry.actor for entry in written] == ["lee@clinic.example"]


async def test_a_nodes_certificate_is_no_clients(clinic: OpenClinic) -> None:
    async with clinic() as found:
        own = found.certified("n7", "localhost", f"n7.node.{bytes(16).hex()}.veritydb")
        async with found.connect("n7", own) as client:
            with pytest.raises(NotAuthenticated, match="this is a node's certificate"):
                await client.call("status")


async def test_a_door_that_is_not_listed_is_refused(clinic: OpenClinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(DOORS, "status")
    async with clinic() as found, found.connect("lee") as client:
        with pytest.raises(AccessDenied, match="'status' isn't among the doors that are guarded"):
            await client.call("status")
        assert UNGUARDED == ("authenticate",)
