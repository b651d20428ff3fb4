"""A clinic's node with TLS, a policy, and the certificates of those who call it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from vdb.audit.entry import AuditEntry, decode_entry
from vdb.client.client import Client
from vdb.client.connect import connect as connect_client
from vdb.crypto.root import RootKeys
from vdb.limits import Limits
from vdb.node.config import NodeConfig
from vdb.node.doors.accept import INTERFACE
from vdb.node.identity.identities import IdentitySettings
from vdb.node.node import Node
from vdb.rpc.client import RpcClient, open_client
from vdb.types import Region, TenantId
from vdb.world import TlsConfig, make_world
from vdb.world.network import RealNetwork

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

Settings = dict[str, Any]
OpenClinic = Callable[..., AbstractAsyncContextManager["Clinic"]]


def filled(**fields: Any) -> Callable[[Any], None]:
    """Sets a call's parameters."""

    def build(params: Any) -> None:
        for name, value in fields.items():
            setattr(params, name, value)

    return build


class Clinic:
    """A node that runs, and the way to it for anybody by name."""

    def __init__(self, node: Node, folder: Path, authority: trustme.CA, tls: TlsConfig) -> None:
        self.node = node
        self._folder = folder
        self._authority = authority
        self._tls = tls

    def certified(self, name: str, *names: str) -> TlsConfig:
        """The files of a certificate with these names; once made, it stays."""
        cert, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        found = TlsConfig(cert=cert, key=key, ca=self._tls.ca, asks_clients=False)
        if cert.exists():
            return found
        made = self._authority.issue_cert(*names)
        cert.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        made.private_key_pem.write_to_path(str(key))
        return found

    def tls_of(self, who: str) -> TlsConfig:
        """With the certificate of `WHO@clinic.example`, or none for nobody."""
        return self.certified(who, f"{who}@clinic.example") if who else TlsConfig(ca=self._tls.ca)

    @property
    def address(self) -> str:
        assert self.node.address is not None
        return self.node.address

    @asynccontextmanager
    async def connect(self, who: str, tls: TlsConfig | None = None) -> AsyncIterator[RpcClient]:
        """The calls themselves."""
        stream = await RealNetwork(tls or self.tls_of(who)).connect(self.address)
        async with open_client(stream, INTERFACE) as client:
            yield client

    def client(self, who: str, **settings: Any) -> Client:
        """A client of the library."""
        return connect_client(self.address, tls=self.tls_of(who), **settings)

    async def entries(self, *tenants: int) -> list[AuditEntry]:
        """Of all groups of the node; of tenants 0 and 1 where none is named."""
        entries: list[AuditEntry] = []
        for tenant in tenants or (0, 1):
            for group in self.node.groups:
                page = await self.node.service.audit.records(TenantId(tenant), group, 0, 10_000)
                entries += [decode_entry(entry) for record in page.records for entry in record.entries]
        return entries

    async def apply(self, text: str) -> None:
        """The officer applies a policy, and the region's group has it."""
        group, book = self.node.config.groups[0], self.node.service.governance.book
        before = book.policy(group)
        async with self.connect("officer") as officer:
            held = await officer.call("getPolicy", filled(group="global"))
            await officer.call("applyPolicy", filled(text=text, expectedSerial=held.serial))
        with trio.fail_after(10):
            await self.node.groups[group].wait_until(lambda: book.policy(group) not in (None, before))


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def clinic(tmp_path: Path, authority: trustme.CA, keys: RootKeys, region: Region, small_limits: Limits) -> OpenClinic:
    """Opens a node that has no policy yet; takes `IdentitySettings` by their names."""

    @asynccontextmanager
    async def open_clinic(**identity: Any) -> AsyncIterator[Clinic]:
        ca = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(ca))
        tls = TlsConfig(ca=ca)
        own = Clinic(None, tmp_path, authority, tls).certified("node", "127.0.0.1", "localhost")  # type: ignore[arg-type]
        config = NodeConfig(
            region=region,
            root_keys=keys,
            limits=small_limits,
            address="127.0.0.1:0",
            identity=IdentitySettings(**identity),
        )
        node = Node(make_world(tmp_path / "data", region, tls=own), config)
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            yield Clinic(node, tmp_path, authority, tls)
            nursery.cancel_scope.cancel()

    return open_clinic


@pytest.fixture
def governed(clinic: OpenClinic) -> OpenClinic:
    """The same with notes of a patient in tenants 1 and 2, and a policy that holds in the region."""

    @asynccontextmanager
    async def open_governed(policy: str = POLICY, **identity: Any) -> AsyncIterator[Clinic]:
        async with clinic(**identity) as found:
            async with found.connect("officer") as officer:
                for tenant in (1, 2):
                    notes, menu = {"tenant": tenant, "stream": "notes"}, {"tenant": tenant, "stream": "menu"}
                    await officer.call("createStream", filled(**notes, dataClass=1, placement=PLACE))
                    await officer.call("publish", filled(**notes, payloads=[b"hello"]))
                    await officer.call("createStream", filled(**menu, dataClass=0, placement="global"))
                    await officer.call("publish", filled(**menu, payloads=[b"soup"]))
            await found.apply(policy)
            yield found

    return open_governed
