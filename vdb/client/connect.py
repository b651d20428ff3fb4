"""`vdb.connect` and `vdb.connect_sync`: clients over TCP, with mutual TLS where it is configured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import anyio
import trio
from anyio.from_thread import start_blocking_portal

from vdb.client.client import Client
from vdb.client.credentials import Credentials, Token, Whoami
from vdb.client.router import Connector, OnLink
from vdb.client.streams import TrioNames
from vdb.client.sync_admin import SyncClusterAdmin
from vdb.client.sync_face import SyncFace
from vdb.errors import ConfigError, ConnectionLost, InvalidArgument, NotLoopback
from vdb.world.address import is_loopback, split_address
from vdb.world.client_tls import client_context
from vdb.world.clock import RealClock
from vdb.world.entropy import RealEntropy
from vdb.world.environment import default_address, default_tenant
from vdb.world.network import TlsConfig
from vdb.world.pinned import PinDirectory

T = TypeVar("T")

CONNECT_SECONDS_MAX = 10.0
"""How long one attempt to connect may take."""


def tcp_connector(address: str, tls: TlsConfig | None = None) -> Connector:
    """Opens connections to `host:port`; with `tls`, both sides show certificates. NotLoopback without, off loopback."""
    host, port = split_address(address)
    if tls is None and not is_loopback(host):
        raise NotLoopback(
            f"{address} is not on this machine, and no TLS is configured: give a certificate, its key and the authority"
        )
    context = None if tls is None else client_context(tls)

    async def connect() -> TrioNames:
        try:
            with anyio.fail_after(CONNECT_SECONDS_MAX):
                stream: Any
                if context is None:
                    stream = await anyio.connect_tcp(host, port)
                else:
                    stream = await anyio.connect_tcp(host, port, ssl_context=context, tls_standard_compatible=False)
        except TimeoutError:
            raise ConnectionLost(f"no answer from {address} within {CONNECT_SECONDS_MAX:g} s") from None
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            raise ConnectionLost(f"can't connect to {address}: {error}") from None
        return TrioNames(stream)

    return connect


def split_addresses(address: str | Sequence[str]) -> list[str]:
    """Each of `host:port,host:port` or of a list once, in order. ConfigError for anything else."""
    parts = address.split(",") if isinstance(address, str) else list(address)
    found = list(dict.fromkeys(part.strip() for part in parts))
    if not found:
        raise ConfigError("a client needs the address of at least one node; found none")
    for one in found:
        split_address(one)
    return found


def connect(
    address: str | Sequence[str] | None = None,
    *,
    tls: TlsConfig | None = None,
    tenant: int | None = None,
    retry_for: float = 30.0,
    connect_for: float = 0.0,
    on_link: OnLink | None = None,
    region: str = "",
    pins: str | Path | None = None,
    token: Token = "",
    purpose: str = "",
    reason: str = "",
) -> Client:
    """A client for `async with`, on trio or asyncio; entering raises Unreachable if no node answers.

        async with vdb.connect() as client:
            await client.create_stream("notes")
            await client.publish("notes", b"hello")

    `address`: host:port of a node, or of several nodes of a cluster, as a list or with commas between them: the client
    finds the primary and follows it. None takes VDB_ADDRESS, or 127.0.0.1:7140. `tenant`: None takes VDB_TENANT, or 1.
    `retry_for`: seconds in which a call is tried again over lost connections. `connect_for`: seconds to wait for a
    node that isn't there yet. `on_link` is called with an address and True when a connection is made, and with False
    when it is lost. `region`: the only one of a cluster of several whose data this client touches, besides what is
    global: it asks no other region's nodes, not even for a stream by its name. `pins`: a directory where the heads of
    logs are kept that were seen: `tree_head` is EvidenceInvalid for one that doesn't continue the last. `token`:
    says who asks, where that isn't whom the certificate names; or a function that gives one at each new link. `purpose`
    (of use: a code of HL7 v3-ActReason, such as "TREAT") and `reason` stand in the audit log with all that this does.
    """
    addresses = split_addresses(default_address() if address is None else address)
    return Client(
        {one: tcp_connector(one, tls) for one in addresses},
        learn=partial(tcp_connector, tls=tls),
        entropy=RealEntropy(),
        clock=RealClock(),
        tenant=default_tenant() if tenant is None else tenant,
        retry_for=retry_for,
        connect_for=connect_for,
        on_link=on_link,
        region=region,
        pins=None if pins is None else PinDirectory(Path(pins)),
        credentials=Credentials(token=token, purpose=purpose, reason=reason),
    )


class SyncClient(SyncFace):
    """A client for programs without an event loop: it has one of its own, in a thread. A context manager."""

    def __init__(self, make_client: Callable[[], Client]) -> None:
        self._exits = ExitStack()
        portal = self._exits.enter_context(start_blocking_portal("trio"))
        self._closed = False

        def run(function: Callable[[], Awaitable[T]]) -> T:
            if self._closed:
                raise InvalidArgument("this client is closed")
            return portal.call(function)

        def post(function: Callable[[], None]) -> None:
            if self._closed:
                raise InvalidArgument("this client is closed")
            token.run_sync_soon(function)

        try:
            token = portal.call(trio.lowlevel.current_trio_token)
            client = portal.call(_made, make_client)
            managed: AbstractContextManager[Client] = portal.wrap_async_context_manager(client)
            self._exits.enter_context(managed)
        except BaseException:
            self._exits.close()
            raise
        super().__init__(client, run, post)
        self.cluster = SyncClusterAdmin(client.cluster, run)
        """Status of all nodes, and changes of members."""
        self._whoami = partial(run, client.whoami)

    def whoami(self) -> Whoami:
        """Whom the node takes this client for. NotAuthenticated."""
        return self._whoami()

    def close(self) -> None:
        """Disconnect. Writes in flight in other threads end with an unknown outcome. Closing twice is harmless."""
        self._closed = True
        self._exits.close()

    def __enter__(self) -> SyncClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


async def _made(make_client: Callable[[], Client]) -> Client:
    """A client made inside the loop that it will live in."""
    return make_client()


def connect_sync(
    address: str | Sequence[str] | None = None,
    *,
    tls: TlsConfig | None = None,
    tenant: int | None = None,
    retry_for: float = 30.0,
    connect_for: float = 0.0,
    region: str = "",
    pins: str | Path | None = None,
    token: Token = "",
    purpose: str = "",
    reason: str = "",
) -> SyncClient:
    """The same as `connect`, with blocking methods. Close it, or use it in a `with` block.

    with vdb.connect_sync() as client:
        client.publish("notes", b"hello")
    """
    return SyncClient(
        lambda: connect(
            address,
            tls=tls,
            tenant=tenant,
            retry_for=retry_for,
            connect_for=connect_for,
            region=region,
            pins=pins,
            token=token,
            purpose=purpose,
            reason=reason,
        )
    )
