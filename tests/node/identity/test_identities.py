"""Who asks, by what a connection has shown; and for how long."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing
from attrs import evolve

from vdb.errors import ConfigError, InvalidArgument, NotAuthenticated
from vdb.node.gate.caller import Credential
from vdb.node.identity.development import make_development_token
from vdb.node.identity.identities import Identities, IdentitySettings
from vdb.node.identity.visit import ATTEMPTS_MAX, Visit
from vdb.ports import Peer, PeerCertificate

SECRET = bytes(range(48))
HOUR = 3_600_000_000
LOOPBACK = Peer(address="127.0.0.1:5", secured=False)
CERTIFICATE = PeerCertificate(serial="0abc", not_after=10 * HOUR, uris=("spiffe://clinic.example/lee",))
SECURED = Peer(address="10.0.0.7:5", secured=True, certificate=CERTIFICATE)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, trio.abc.Clock]]:
    """Waiting takes no time."""
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


class Given:
    """The Source port over bytes; None: it can't be read."""

    def __init__(self, content: bytes | None) -> None:
        self.content = content

    def read(self) -> bytes:
        if self.content is None:
            raise ConfigError("it can't be read")
        return self.content


def made(now: Callable[[], int] = lambda: 0, **settings: object) -> Identities:
    return Identities(IdentitySettings(**settings), now)  # type: ignore[arg-type]


def token(name: str = "lee", expires: int = HOUR) -> str:
    return make_development_token(SECRET, name, expires=expires)


def visit(identities: Identities, peer: Peer = LOOPBACK) -> Visit:
    return Visit(identities, peer, lambda: None)


def test_on_loopback_whoever_connects_is_of_development() -> None:
    caller = made().connected(LOOPBACK)
    assert caller is not None
    assert (caller.principal.name, caller.principal.development) == ("dev:anyone", True)
    assert caller.client == "127.0.0.1:5"
    assert made(anonymous=False).connected(LOOPBACK) is None


def test_a_certificate_names_its_principal() -> None:
    caller = made(certificate_mfa=("spiffe://clinic.example/lee",)).connected(SECURED)
    assert caller is not None
    assert caller.principal.name == "spiffe://clinic.example/lee"
    assert (caller.credential, caller.serial, caller.expires) == (Credential.MTLS, "0abc", 10 * HOUR)
    assert caller.principal.mfa
    assert not caller.principal.development
    assert made().connected(evolve(SECURED, certificate=None)) is None


def test_a_development_token_counts_on_loopback_alone() -> None:
    identities = made(development_secret=Given(SECRET + b"\n"))
    caller = identities.signed_in(LOOPBACK, identities.connected(LOOPBACK), token(), "TREAT", "why")
    assert (caller.principal.name, caller.purpose, caller.reason) == ("dev:lee", "TREAT", "why")
    assert caller.principal.development
    with pytest.raises(NotAuthenticated, match="counts on loopback without TLS alone"):
        identities.signed_in(SECURED, identities.connected(SECURED), token(), "", "")
    with pytest.raises(NotAuthenticated, match="takes no tokens of development mode"):
        made().signed_in(LOOPBACK, None, token(), "", "")


def test_a_token_is_refused_where_no_issuer_is_known() -> None:
    with pytest.raises(NotAuthenticated, match="takes no tokens: expected a client certificate"):
        made().signed_in(SECURED, None, "x.y.z", "", "")


def test_purpose_and_reason_are_checked() -> None:
    identities = made()
    with pytest.raises(InvalidArgument, match="'FUN' is no purpose of use"):
        identities.signed_in(SECURED, identities.connected(SECURED), "", "FUN", "")
    with pytest.raises(InvalidArgument, match="a reason has at most 1024 bytes"):
        identities.signed_in(SECURED, identities.connected(SECURED), "", "", "x" * 1025)


async def test_without_any_credential_nobody_is_let_in() -> None:
    found = visit(made(anonymous=False))
    assert found.connected is None
    with pytest.raises(NotAuthenticated, match="nobody has shown who asks"):
        found.sign_in("", "TREAT", "")


@pytest.mark.parametrize("entry", ["ABC", "0a:bc", "spiffe://clinic.example/lee"])
async def test_what_was_revoked_counts_no_more_on_open_connections(entry: str) -> None:
    source = Given(b"revoked = []")
    identities = made(revoked=source)
    found = visit(identities, SECURED)
    caller = found.sign_in("", "TREAT", "")
    found.check(caller)
    source.content = f'revoked = ["{entry}"]'.encode() if entry != "ABC" else b'revoked = ["0ABC"]'
    identities.look()
    with pytest.raises(NotAuthenticated, match="was revoked"):
        found.check(caller)
    assert "was revoked" in found.ended(caller)
    assert "was revoked" in visit(identities, SECURED).refusal


async def test_while_nobody_can_tell_what_was_revoked_nobody_is_let_in() -> None:
    source = Given(b"revoked = []")
    identities = made(revoked=source)
    caller = visit(identities, SECURED).sign_in("", "", "")
    source.content = None
    identities.look()
    with pytest.raises(NotAuthenticated, match="nobody is let in until it can"):
        identities.check(caller)
    source.content = b""
    identities.look()
    identities.check(caller)
    with pytest.raises(ConfigError):
        made(revoked=Given(None))


async def test_who_came_with_a_token_comes_again_after_a_pause() -> None:
    identities = made(development_secret=Given(SECRET), idle_seconds=900.0, session_seconds=3600.0)
    found = visit(identities)
    caller = found.sign_in(token(), "", "")
    for _ in range(3):
        await trio.sleep(899)
        found.check(caller, touch=True)
    await trio.sleep(900)
    with pytest.raises(NotAuthenticated, match="nothing was asked for 900 s: sign in again"):
        found.check(caller)
    caller = found.sign_in(token(), "", "")
    for _ in range(4):
        found.check(caller, touch=True)
        await trio.sleep(899.9)
    found.check(caller, touch=True)
    await trio.sleep(0.5)
    assert found.ended(caller) == "signed in for 3600 s: sign in again"


async def test_who_came_with_a_certificate_may_pause() -> None:
    found = visit(made(idle_seconds=1.0, session_seconds=1.0), SECURED)
    caller = found.sign_in("", "TREAT", "")
    await trio.sleep(10_000)
    assert found.ended(caller) == ""


async def test_an_expired_credential_ends_the_connection() -> None:
    now = [0]
    identities = made(lambda: now[0])
    found = visit(identities, SECURED)
    caller = found.sign_in("", "", "")
    assert found.ended(caller) == ""
    now[0] = 10 * HOUR
    assert "has run out" in found.ended(caller)


async def test_after_a_few_failed_attempts_the_connection_ends() -> None:
    closed: list[bool] = []
    found = Visit(made(development_secret=Given(SECRET)), LOOPBACK, lambda: closed.append(True))
    for _ in range(ATTEMPTS_MAX):
        with pytest.raises(NotAuthenticated, match="isn't one"):
            found.sign_in("vdbdev1.x", "", "")
    assert not closed
    with pytest.raises(NotAuthenticated, match="5 attempts have failed"):
        found.sign_in(token(), "", "")
    assert closed


async def test_a_refused_certificate_stays_refused_without_a_token() -> None:
    node = evolve(CERTIFICATE, dns=(f"n1.node.{bytes(16).hex()}.veritydb",))
    found = visit(made(), evolve(SECURED, certificate=node))
    assert "a node's certificate" in found.refusal
    with pytest.raises(NotAuthenticated, match="a node's certificate"):
        found.sign_in("", "TREAT", "")
