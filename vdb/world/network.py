"""The Network port over TCP, with mutual TLS 1.3 when it is configured.

- Off loopback, TLS is a must: `NotLoopback` otherwise. With TLS every connection uses it, loopback too, and both sides
  show certificates of the one authority in `TlsConfig.ca`.
- A server's handshake happens at the first use of the stream, so that a slow client doesn't hold up `accept`; a
  client's inside `connect`, so that a wrong certificate is an error of `connect`.
- Small messages leave at once (TCP_NODELAY, which trio sets).
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import frozen

from vdb.errors import AddressInUse, ConfigError, ConnectionLost, NotLoopback
from vdb.ports import Peer, PeerCertificate
from vdb.world.address import (
    address_in_use_message,
    is_loopback,
    join_address,
    not_loopback_message,
    split_address,
)


@frozen(kw_only=True)
class TlsConfig:
    """Paths of PEM files: this side's certificate chain, its private key, and the authority of the other side's.

    A client that shows a token instead needs neither certificate nor key.
    """

    cert: Path | None = None
    key: Path | None = None
    ca: Path
    asks_clients: bool = True
    """A server's: whether clients must have certificates. Without one they show tokens; other nodes need one anyway."""


class RealNetwork:
    """The Network port. Without `tls`, loopback only."""

    def __init__(self, tls: TlsConfig | None = None) -> None:
        self._listens = tls is None or tls.cert is not None
        self._server_tls = None if tls is None or not self._listens else tls_context(tls, ssl.PROTOCOL_TLS_SERVER)
        self._client_tls = None if tls is None else tls_context(tls, ssl.PROTOCOL_TLS_CLIENT)

    async def listen(self, address: str) -> RealListener:
        host, port = split_address(address)
        self._check_reach(host, address)
        if not self._listens:
            raise ConfigError(f"to listen on {address} with TLS, a certificate and its key are needed")
        try:
            first, *others = await trio.open_tcp_listeners(port, host=_numeric(host))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(address_in_use_message(address)) from None
            raise ConfigError(f"can't listen on {address}: {error.strerror or error}") from error
        for other in others:
            await other.aclose()
        return RealListener(first, join_address(host, first.socket.getsockname()[1]), self._server_tls)

    async def connect(self, address: str) -> trio.abc.Stream:
        host, port = split_address(address)
        self._check_reach(host, address)
        try:
            stream = await trio.open_tcp_stream(_numeric(host), port)
        except OSError as error:
            raise ConnectionLost(f"nobody answers at {address}: {error.strerror or error}") from None
        if self._client_tls is None:
            return stream
        secured = trio.SSLStream(stream, self._client_tls, server_hostname=host)
        try:
            await secured.do_handshake()
        except trio.BrokenResourceError as error:
            await trio.aclose_forcefully(secured)
            raise ConnectionLost(f"the TLS handshake with {address} failed: {error.__cause__ or error}") from error
        except BaseException:
            await trio.aclose_forcefully(secured)
            raise
        return secured

    def peer_names(self, stream: trio.abc.Stream) -> tuple[str, ...] | None:
        if not isinstance(stream, trio.SSLStream):
            return None
        certificate = stream.getpeercert() or {}
        return tuple(name for kind, name in certificate.get("subjectAltName", ()) if kind == "DNS")

    async def peer(self, stream: trio.abc.Stream) -> Peer:
        if not isinstance(stream, trio.SSLStream):
            return Peer(address=_address_of(stream), secured=False)
        try:
            await stream.do_handshake()
        except trio.BrokenResourceError as error:
            raise ConnectionLost(f"the TLS handshake failed: {error.__cause__ or error}") from None
        found = stream.getpeercert()
        certificate = peer_certificate(found) if found else None
        return Peer(address=_address_of(stream.transport_stream), secured=True, certificate=certificate)

    def _check_reach(self, host: str, address: str) -> None:
        if self._client_tls is None and not is_loopback(host):
            raise NotLoopback(not_loopback_message(address))


class RealListener:
    """The Listener port."""

    def __init__(self, listener: trio.SocketListener, address: str, tls: ssl.SSLContext | None) -> None:
        self._listener = listener
        self._address = address
        self._tls = tls

    @property
    def address(self) -> str:
        return self._address

    async def accept(self) -> trio.abc.Stream:
        stream = await self._listener.accept()
        return stream if self._tls is None else trio.SSLStream(stream, self._tls, server_side=True)

    async def aclose(self) -> None:
        await self._listener.aclose()


def peer_certificate(found: Mapping[str, Any]) -> PeerCertificate:
    """From the form in which `ssl` gives it."""

    def names(kind: str) -> tuple[str, ...]:
        return tuple(name for one, name in found.get("subjectAltName", ()) if one == kind)

    subject = {name: value for part in found.get("subject", ()) for name, value in part}
    return PeerCertificate(
        serial=str(found["serialNumber"]).lower(),
        not_after=int(ssl.cert_time_to_seconds(str(found["notAfter"]))) * 1_000_000,
        common_name=subject.get("commonName", ""),
        uris=names("URI"),
        dns=names("DNS"),
        emails=names("email"),
    )


def _address_of(stream: trio.abc.Stream) -> str:
    if not isinstance(stream, trio.SocketStream):
        return ""
    try:
        host, port, *_ = stream.socket.getpeername()
    except OSError:  # it is gone already
        return ""
    return join_address(host, port)


def _numeric(host: str) -> str:
    """One address for 'localhost': a name with two would need two listeners on two ports."""
    return "127.0.0.1" if host == "localhost" else host


def tls_context(tls: TlsConfig, protocol: ssl._SSLMethod) -> ssl.SSLContext:
    """TLS 1.3, for one side; ConfigError names the file that can't be used."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    optional = protocol == ssl.PROTOCOL_TLS_SERVER and not tls.asks_clients
    context.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED
    with _config_errors(f"the authority {tls.ca}"):
        context.load_verify_locations(tls.ca)
    if tls.cert is not None and tls.key is not None:
        with _config_errors(f"the certificate {tls.cert} and the key {tls.key}"):
            context.load_cert_chain(tls.cert, tls.key)
    return context


@contextmanager
def _config_errors(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"TLS can't be set up from {what}: {error.strerror or error}") from error
