"""Keys that are fetched from an identity provider: over TLS, in the simulator's network, and while it is away."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from sim.runner import run
from sim.world import SimUniverse
from vdb.errors import ConfigError, NotAuthenticated
from vdb.node.identity.identities import Identities, IdentitySettings
from vdb.node.identity.issuer_keys import (
    DISCOVERY,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    TOKEN_SIZE_MAX,
    UNKNOWN_KEY_SECONDS,
    KeysPlace,
)
from vdb.node.identity.oidc_settings import OidcSettings
from vdb.ports import Peer
from vdb.types import Region
from vdb.web.exchange import ANSWER_SECONDS_MAX
from vdb.world.network import RealNetwork, TlsConfig
from vdb.world.web_network import WebNetwork

NOW = 1_800_000_000
ONE, TWO = (ECKey.generate_key("P-256", {"kid": name}) for name in ("one", "two"))
PEER = Peer(address="127.0.0.1:1", secured=False)
JWKS = "/keys"
REGION = Region("us-east-1")


def published(*keys: Any) -> dict[str, Any]:
    return dict(KeySet(list(keys)).as_dict(private=False))


def token(key: Any, issuer: str) -> str:
    claims = {"iss": issuer, "aud": "veritydb", "exp": NOW + 600, "sub": "lee"}
    return jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key)


def identities(base: str, url: str, web: Any = None) -> Identities:
    place = KeysPlace(issuer=base, url=url, web=web or {"http": RealNetwork(), "https": WebNetwork()})
    oidc = OidcSettings(issuer=base, audience="veritydb", jwks=place)
    return Identities(IdentitySettings(oidc=oidc), lambda: NOW * 1_000_000)


async def sign_in(found: Identities, key: Any, base: str) -> str:
    shown = token(key, base)
    await found.get_ready_for(shown)
    return found.signed_in(PEER, None, shown, "", "").principal.name


BASE = "https://login:443/realm"
AtTheIssuers = Callable[[Callable[["Universe"], Awaitable[None]]], None]


class Universe:
    """An issuer and a node, each on a host of its own in the simulator's network; time is virtual."""

    def __init__(self, inner: SimUniverse, tasks: trio.Nursery, issuer: Any) -> None:
        self.inner = inner
        self.issuer = issuer
        self._tasks = tasks
        self._node = inner.node("node", REGION).boot()
        self._login = inner.node("login", REGION).boot()

    async def serve(self) -> None:
        self._tasks.start_soon(self.issuer.run, await self._login.network.listen("login:443"))

    def identities(self, url: str = BASE + JWKS) -> Identities:
        return identities(BASE, url, {"https": self._node.network})


@pytest.fixture
def at_the_issuers(issuer: Any) -> AtTheIssuers:
    def run_body(body: Callable[[Universe], Awaitable[None]]) -> None:
        async def main() -> None:
            inner = SimUniverse(1)
            try:
                async with trio.open_nursery() as tasks:
                    await body(Universe(inner, tasks, issuer))
                    tasks.cancel_scope.cancel()
            finally:
                inner.close()

        run(1, main, budget_s=100_000)

    return run_body


def test_keys_are_fetched_where_the_issuer_says(issuer: Any, at_the_issuers: AtTheIssuers) -> None:
    async def body(universe: Universe) -> None:
        await universe.serve()
        issuer.says("/realm" + DISCOVERY, {"issuer": BASE, "jwks_uri": f"https://login:443{JWKS}"})
        issuer.says(JWKS, published(ONE))
        assert await sign_in(universe.identities(""), ONE, BASE) == "oidc:lee"
        assert issuer.asked == ["/realm" + DISCOVERY, JWKS]
        issuer.says("/realm" + DISCOVERY, {"issuer": "https://other.example", "jwks_uri": "https://other.example"})
        with pytest.raises(NotAuthenticated, match="the description found there isn't of"):
            await sign_in(universe.identities(""), ONE, BASE)
        issuer.says("/realm" + DISCOVERY, {"issuer": BASE, "jwks_uri": f"http://login:443{JWKS}"})
        with pytest.raises(NotAuthenticated, match="the address of its keys is fetched over https"):
            await sign_in(universe.identities(""), ONE, BASE)

    at_the_issuers(body)


def test_a_new_key_is_fetched_when_it_is_first_seen(issuer: Any, at_the_issuers: AtTheIssuers) -> None:
    async def body(universe: Universe) -> None:
        await universe.serve()
        issuer.says("/realm" + JWKS, published(ONE))
        found = universe.identities()
        assert await sign_in(found, ONE, BASE) == "oidc:lee"
        issuer.says("/realm" + JWKS, published(TWO, ONE))
        for _ in range(3):
            with pytest.raises(NotAuthenticated):
                await sign_in(found, TWO, BASE)
        assert len(issuer.asked) == 1, "at most once in a while, whoever asks"
        await trio.sleep(UNKNOWN_KEY_SECONDS)
        async with trio.open_nursery() as tasks:
            for _ in range(5):
                tasks.start_soon(sign_in, found, TWO, BASE)
        assert await sign_in(found, ONE, BASE) == "oidc:lee"
        assert len(issuer.asked) == 2, "whoever comes meanwhile waits for the one who is at it"

    at_the_issuers(body)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (500, b"{}"),
        (302, b""),
        (200, b"<html>"),
        (200, b'{"keys": []}'),
        (200, b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'),
        (200, b"x" * 300_000),
    ],
)
def test_the_last_good_keys_hold(issuer: Any, at_the_issuers: AtTheIssuers, status: int, said: bytes) -> None:
    async def body(universe: Universe) -> None:
        await universe.serve()
        issuer.says("/realm" + JWKS, published(ONE))
        found = universe.identities()
        async with trio.open_nursery() as tasks:
            await tasks.start(found.run)
            await sign_in(found, ONE, BASE)
            issuer.says("/realm" + JWKS, said, status)
            await trio.sleep(REFRESH_SECONDS + 1)
            assert len(issuer.asked) == 2
            assert await sign_in(found, ONE, BASE) == "oidc:lee"
            with pytest.raises(NotAuthenticated):
                await sign_in(found, TWO, BASE)
            issuer.says("/realm" + JWKS, published(TWO))
            await trio.sleep(REFRESH_SECONDS + 1)
            assert await sign_in(found, TWO, BASE) == "oidc:lee"
            with pytest.raises(NotAuthenticated):
                await sign_in(found, ONE, BASE)
            tasks.cancel_scope.cancel()

    at_the_issuers(body)


DEEP = b'{"a": ' + b"[" * 4000 + b"]" * 4000 + b"}"


def test_a_token_that_cant_be_read_is_a_failed_sign_in(issuer: Any, at_the_issuers: AtTheIssuers) -> None:
    """Not an error of the node's, which would pass by what counts them; nor are keys fetched for a big one."""
    nested = base64.urlsafe_b64encode(DEEP).decode().rstrip("=")
    big = base64.urlsafe_b64encode(b'{"kid": "two", "x": "' + b"x" * TOKEN_SIZE_MAX + b'"}').decode().rstrip("=")

    async def body(universe: Universe) -> None:
        await universe.serve()
        issuer.says("/realm" + JWKS, published(ONE))
        found = universe.identities()
        assert await sign_in(found, ONE, BASE) == "oidc:lee"
        await trio.sleep(UNKNOWN_KEY_SECONDS)
        for shown in (f"{nested}.e30.AAAA", f"{big}.e30.AAAA"):
            await found.get_ready_for(shown)
            with pytest.raises(NotAuthenticated, match=r"the token isn't valid|the token has \d+ bytes"):
                found.signed_in(PEER, None, shown, "", "")
        assert len(issuer.asked) == 1
        assert await sign_in(found, ONE, BASE) == "oidc:lee"

    at_the_issuers(body)


def test_what_an_issuer_nests_too_deep_is_said(issuer: Any, at_the_issuers: AtTheIssuers) -> None:
    async def body(universe: Universe) -> None:
        await universe.serve()
        issuer.says("/realm" + DISCOVERY, DEEP)
        with pytest.raises(NotAuthenticated, match="the issuer's description isn't JSON that can be read"):
            await sign_in(universe.identities(""), ONE, BASE)
        issuer.says("/realm" + JWKS, DEEP)
        with pytest.raises(NotAuthenticated, match=r"the keys of .* aren't a JWKS"):
            await sign_in(universe.identities(), ONE, BASE)

    at_the_issuers(body)


def test_without_any_keys_nobody_is_let_in_until_there_are(issuer: Any, at_the_issuers: AtTheIssuers) -> None:
    async def body(universe: Universe) -> None:
        found = universe.identities()
        issuer.says("/realm" + JWKS, published(ONE))
        async with trio.open_nursery() as tasks:
            await tasks.start(found.run)
            universe.inner.network.cut("node", "login")
            with pytest.raises(NotAuthenticated, match=r"no token can be verified now: the keys of .* couldn't be"):
                await sign_in(found, ONE, BASE)
            await universe.serve()
            universe.inner.network.heal()
            universe.inner.network.stall("node", "login", both=True)
            await trio.sleep(ANSWER_SECONDS_MAX + RETRY_SECONDS)
            with pytest.raises(NotAuthenticated, match="nobody answers at login:443: timed out"):
                await sign_in(found, ONE, BASE)
            universe.inner.network.heal()
            issuer.delay = ANSWER_SECONDS_MAX + 1
            await trio.sleep(ANSWER_SECONDS_MAX + RETRY_SECONDS)
            with pytest.raises(NotAuthenticated, match="the issuer at login:443 doesn't answer within 20 s"):
                await sign_in(found, ONE, BASE)
            issuer.delay = 0.0
            await trio.sleep(ANSWER_SECONDS_MAX + RETRY_SECONDS)
            assert await sign_in(found, ONE, BASE) == "oidc:lee"
            tasks.cancel_scope.cancel()

    at_the_issuers(body)


async def test_the_issuers_certificate_is_verified(issuer: Any, tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    made = authority.issue_cert("localhost", "127.0.0.1")
    ca, other, cert, key = (tmp_path / name for name in ("ca.pem", "other.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(str(ca))
    stranger.cert_pem.write_to_path(str(other))
    cert.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    made.private_key_pem.write_to_path(str(key))
    async with trio.open_nursery() as nursery:
        server = RealNetwork(TlsConfig(ca=ca, cert=cert, key=key, asks_clients=False))
        listener = await server.listen("127.0.0.1:0")
        nursery.start_soon(issuer.run, listener)
        base = f"https://{listener.address}"
        issuer.says(JWKS, published(ONE))
        assert await sign_in(identities(base, base + JWKS, {"https": WebNetwork(ca)}), ONE, base) == "oidc:lee"
        for untrusted in (WebNetwork(other), WebNetwork()):
            with pytest.raises(NotAuthenticated, match=r"the TLS handshake with .* failed"):
                await sign_in(identities(base, base + JWKS, {"https": untrusted}), ONE, base)
        nursery.cancel_scope.cancel()


def test_off_loopback_keys_come_over_https_alone() -> None:
    for url in ("http://login.example/keys", "http://127.evil.example/keys", "http://10.0.0.1/keys", "ftp://x/keys"):
        with pytest.raises(ConfigError, match="jwks-url"):
            identities("https://login.example", url)
    with pytest.raises(ConfigError, match="the issuer's address is fetched over https"):
        identities("http://login.example", "")


def test_an_authority_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="TLS can't be set up"):
        WebNetwork(tmp_path / "nothing.pem")
