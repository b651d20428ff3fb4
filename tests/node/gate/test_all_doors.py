"""Every method of the interface: without a credential, for another tenant, and with too low a role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from vdb.audit.entry import AuditEntry, Kind, Outcome, decode_entry
from vdb.errors import (
    AccessDenied,
    NotAuthenticated,
    TransactionEnded,
    VerityError,
)
from vdb.node.config import NodeConfig
from vdb.node.doors.accept import INTERFACE
from vdb.node.gate.doors import DOORS, UNGUARDED
from vdb.node.node import Node
from vdb.rpc.client import RpcClient, open_client
from vdb.types import DataClass, TenantId
from vdb.world import TlsConfig, make_world
from vdb.world.network import RealNetwork

Connect = Callable[[str], Any]
PLACE = "ap-southeast-2"
POLICY = """
name = "clinic"

[roles]
officer = []
clinician = []
visitor = []

[[binding]]
principals = ["officer@clinic.example"]
roles = ["officer"]

[[binding]]
principals = ["lee@clinic.example"]
roles = ["clinician"]
tenants = [1]

[[binding]]
principals = ["guest@clinic.example"]
roles = ["visitor"]

[[rule]]
name = "officers-rule"
roles = ["officer"]
actions = ["policy", "audit", "create"]

[[rule]]
name = "clinicians-work"
roles = ["clinician"]
actions = ["create", "append", "read", "query", "consume", "time-travel", "schema"]

[[rule]]
name = "visitors-see-the-menu"
roles = ["visitor"]
actions = ["read"]
classes = ["non-phi"]
streams = ["menu"]

[break-glass]
roles = ["clinician"]
reviewers = ["officer"]
"""

OPEN_TO_ALL = {"openSession", "status", "regions", "getPolicy", "sqlClose", "authenticate"}
"""Whoever has shown who asks may call these: they tell of nobody."""
FOR_READERS = {"listStreams", "treeHead", "proveConsistency"}
"""Whoever may read anything of a tenant may ask these: what they tell is cut to it, or hashes."""
OF_A_SESSION = {
    name
    for name in DOORS
    if name.startswith("sql") and name not in {"sqlCreate", "sqlList", "sqlOpen", "sqlClose", "sqlOutcome"}
}
"""They name a session, and sessions are opened by `sqlOpen` alone."""


class Clinic:
    """A node with TLS, and the certificates of those who call it."""

    def __init__(self, node: Node, connect: Connect) -> None:
        self.node = node
        self.connect = connect


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _files(folder: Path, authority: trustme.CA, name: str, *names: str) -> TlsConfig:
    made = authority.issue_cert(*names)
    config = TlsConfig(
        cert=folder / f"{name}.pem", key=folder / f"{name}.key", ca=folder / "ca.pem", asks_clients=False
    )
    assert config.cert is not None
    assert config.key is not None
    config.cert.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    made.private_key_pem.write_to_path(str(config.key))
    authority.cert_pem.write_to_path(str(config.ca))
    return config


@asynccontextmanager
async def clinic(folder: Path, authority: trustme.CA, keys: Any, region: Any, limits: Any) -> AsyncIterator[Clinic]:
    tls = _files(folder, authority, "node", "127.0.0.1", "localhost")
    config = NodeConfig(region=region, root_keys=keys, limits=limits, address="127.0.0.1:0")
    node = Node(make_world(folder / "data", region, tls=tls), config)

    @asynccontextmanager
    async def connect(who: str) -> AsyncIterator[RpcClient]:
        own = _files(folder, authority, who, f"{who}@clinic.example") if who else TlsConfig(ca=tls.ca)
        assert node.address is not None
        async with open_client(await RealNetwork(own).connect(node.address), INTERFACE) as client:
            yield client

    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        yield Clinic(node, connect)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def governed(folder: Path, authority: trustme.CA, keys: Any, region: Any, limits: Any) -> AsyncIterator[Clinic]:
    """With notes of a patient in tenants 1 and 2, and a policy that holds in the region."""
    async with clinic(folder, authority, keys, region, limits) as found:
        async with found.connect("officer") as officer:
            for tenant in (1, 2):
                await officer.call("createStream", _with(tenant=tenant, stream="notes", dataClass=1, placement=PLACE))
                await officer.call("publish", _with(tenant=tenant, stream="notes", payloads=[b"hello"]))
                await officer.call("createStream", _with(tenant=tenant, stream="menu", dataClass=0, placement="global"))
                await officer.call("publish", _with(tenant=tenant, stream="menu", payloads=[b"soup"]))
            await officer.call("applyPolicy", _with(text=POLICY))
        with trio.fail_after(10):
            region_group, book = found.node.config.groups[0], found.node.service.governance.book
            await found.node.groups[region_group].wait_until(lambda: book.policy(region_group) is not None)
        yield found


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
            "text": POLICY,
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


async def test_without_a_credential_nothing_is_answered(
    tmp_path: Path, authority: trustme.CA, keys: Any, region: Any, small_limits: Any
) -> None:
    async with clinic(tmp_path, authority, keys, region, small_limits) as found, found.connect("") as client:
        for door in DOORS:
            error = await _answer(client, 1, door)
            assert isinstance(error, NotAuthenticated), (door, error)
            assert "nobody has shown who asks" in str(error)


async def test_another_tenants_data_are_denied(
    tmp_path: Path, authority: trustme.CA, keys: Any, region: Any, small_limits: Any
) -> None:
    async with governed(tmp_path, authority, keys, region, small_limits) as found, found.connect("lee") as client:
        for door in DOORS:
            error = await _answer(client, 2, door)
            _check(door, error)


async def test_too_low_a_role_is_denied(
    tmp_path: Path, authority: trustme.CA, keys: Any, region: Any, small_limits: Any
) -> None:
    async with governed(tmp_path, authority, keys, region, small_limits) as found, found.connect("guest") as client:
        for door in DOORS:
            error = await _answer(client, 1, door)
            if door not in FOR_READERS:
                _check(door, error)
        listed = await client.call("listStreams", _with(tenant=1))
        assert [str(stream.name) for stream in listed.streams] == ["menu"]
        entries = await _denials(found)
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


async def test_who_may_is_let_in(
    tmp_path: Path, authority: trustme.CA, keys: Any, region: Any, small_limits: Any
) -> None:
    async with governed(tmp_path, authority, keys, region, small_limits) as found:
        async with found.connect("lee") as client:
            await client.call("publish", _with(tenant=1, stream="notes", payloads=[b"x"], subject="p-1"))
            answer = await client.call("read", _with(tenant=1, stream="notes", maxEvents=10))
            assert [bytes(payload) for run in answer.runs for payload in run.payloads] == [b"hello", b"x"]
        entries = await _entries(found, TenantId(1))
        read = next(entry for entry in entries if entry.kind is Kind.READ)
        assert (read.actor, read.credential, read.rule) == ("lee@clinic.example", "mtls", "clinicians-work")
        assert (read.object, read.first, read.count, read.data_class) == ("notes", 0, 2, DataClass.PHI.label)
        written = [entry for entry in entries if entry.kind is Kind.WRITE and entry.subjects == ("p-1",)]
        assert [entry.actor for entry in written] == ["lee@clinic.example"]


async def test_a_nodes_certificate_is_no_clients(
    tmp_path: Path, authority: trustme.CA, keys: Any, region: Any, small_limits: Any
) -> None:
    async with clinic(tmp_path, authority, keys, region, small_limits) as found:
        assert found.node.address is not None
        own = _files(tmp_path, authority, "n7", "localhost", f"n7.node.{bytes(16).hex()}.veritydb")
        stream = await RealNetwork(own).connect(found.node.address)
        async with open_client(stream, INTERFACE) as client:
            with pytest.raises(NotAuthenticated, match="this is a node's certificate"):
                await client.call("status")


async def test_a_door_that_is_not_listed_is_refused(
    tmp_path: Path, authority: trustme.CA, keys: Any, region: Any, small_limits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(DOORS, "status")
    async with clinic(tmp_path, authority, keys, region, small_limits) as found, found.connect("lee") as client:
        with pytest.raises(AccessDenied, match="'status' isn't among the doors that are guarded"):
            await client.call("status")
        assert UNGUARDED == ("authenticate",)


async def _denials(found: Clinic) -> list[AuditEntry]:
    return [
        entry
        for tenant in (0, 1)
        for entry in await _entries(found, TenantId(tenant))
        if entry.outcome is Outcome.DENIED
    ]


async def _entries(found: Clinic, tenant: TenantId) -> list[AuditEntry]:
    """Of all groups of the node."""
    entries: list[AuditEntry] = []
    for group in found.node.groups:
        page = await found.node.service.audit.records(tenant, group, 0, 10_000)
        entries += [decode_entry(entry) for record in page.records for entry in record.entries]
    return entries
