"""Who asks, by what was shown: one for each node.

Rules
- Without TLS, which is loopback alone, whoever connects is `ANYONE`, of development, unless the node wants a token.
- With TLS a client's certificate names its principal. Without one, a token has to.
- A token wins over the certificate that carried it: the certificate is then the program's, and stands beside it.
- A token of development is taken on loopback without TLS alone.
- What was revoked counts no more at once: also for connections that are open.
- Whoever came with a token has to come again after a while, and after a pause.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio
from attrs import evolve, field, frozen

from vdb.errors import ConfigError, InvalidArgument, NotAuthenticated
from vdb.marks import mark
from vdb.node import log
from vdb.node.gate.caller import ANYONE, Caller, Credential
from vdb.node.identity.certificates import principal_named_by
from vdb.node.identity.development import is_development_token, read_development_token
from vdb.node.identity.live_sessions import LiveSessions
from vdb.node.identity.oidc_settings import OidcSettings
from vdb.node.identity.revocation import RevocationLists, Revoked, parse_revoked
from vdb.policy.decide import Principal
from vdb.policy.words import PURPOSES
from vdb.ports import Peer, Source

if TYPE_CHECKING:
    from vdb.node.identity.oidc import OidcTokens

WATCH_SECONDS = 2.0
"""How often the list of what was revoked is looked at."""
REASON_BYTES_MAX = 1024


@frozen(kw_only=True)
class IdentitySettings:
    """How callers show who they are."""

    anonymous: bool = True
    """Whether a connection on loopback without TLS is let in without a token, as one of development."""
    trust_domains: tuple[str, ...] = ()
    """Of SPIFFE ids; empty: all that the authority has signed."""
    certificate_mfa: tuple[str, ...] = ()
    """Principals of certificates that lie on a second factor, such as a smart card's."""
    revoked: Source | None = field(default=None, repr=False)
    lists: tuple[Source, ...] = field(default=(), repr=False)
    """Revocation lists (CRLs) of the authorities of certificates."""
    authorities: Source | None = field(default=None, repr=False)
    """Those authorities' own certificates."""
    lists_may_end: bool = False
    """Whether a list counts beyond its end; else no certificate does."""
    development_secret: Source | None = field(default=None, repr=False)
    oidc: OidcSettings | None = None
    idle_seconds: float = 900.0
    """After so long without a call whoever came with a token has to come again; 0: never."""
    session_seconds: float = 12 * 3600.0
    """After so long whoever came with a token has to come again; 0: never."""


class Identities:
    """See the module's docstring. `run` it as long as the node serves."""

    def __init__(self, settings: IdentitySettings, wall_us: Callable[[], int]) -> None:
        """ConfigError where a file isn't what it should be."""
        self.settings = settings
        self._wall_us = wall_us
        self._oidc = None if settings.oidc is None else _reader(settings.oidc)
        if self._oidc is not None and self._oidc.fetched is None:
            self._oidc.keys()
        if settings.development_secret is not None:
            settings.development_secret.read()
        self.revoked: Revoked | None = Revoked()
        """None: the list can't be read."""
        self.sessions = LiveSessions()
        self._watched: dict[Callable[[], None], None] = {}
        self._lists = RevocationLists(settings.lists, settings.authorities, may_end=settings.lists_may_end)
        named = Revoked() if settings.revoked is None else parse_revoked(settings.revoked.read())
        self.revoked = self._lists.add_to(named, wall_us())

    def now(self) -> int:
        """Microseconds UTC."""
        return self._wall_us()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look at the list of what was revoked, and end connections whose credentials count no more; keep the keys of
        the issuer of tokens. Until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._oidc is not None and self._oidc.fetched is not None:
                nursery.start_soon(self._oidc.fetched.run)
            task_status.started()
            while True:
                await trio.sleep(WATCH_SECONDS)
                self.look()
                for watch in list(self._watched):
                    watch()

    async def get_ready_for(self, token: str) -> None:
        """Have what this token is verified with, as far as it can be had; before `signed_in`."""
        fetched = self._oidc.fetched if self._oidc is not None else None
        if fetched is not None and token and not is_development_token(token):
            await fetched.refresh_for(token)

    def watch(self, look: Callable[[], None]) -> Callable[[], None]:
        """Have this called again and again; what is returned ends that."""
        self._watched[look] = None
        return lambda: self._watched.pop(look, None)

    def look(self) -> None:
        """Read what was revoked, if it has changed."""
        source = self.settings.revoked
        try:
            named = Revoked() if source is None else parse_revoked(source.read())
        except ConfigError as error:
            if self.revoked is not None:
                mark("identity.revocations_unreadable")
                log.warning("identity.revocations_unreadable", reason=log.reason(error))
            self.revoked = None
            return
        found = self._lists.add_to(named, self._wall_us())
        if found != self.revoked:
            log.info(
                "identity.revocations",
                serials=len(found.serials),
                principals=len(found.principals),
                uncertain=found.uncertain,
            )
            self.revoked = found

    def check(self, caller: Caller) -> None:
        """NotAuthenticated for one that was revoked; while nobody can tell what was, for everybody."""
        if caller.credential in (Credential.EMBEDDED, Credential.NODE):
            return
        if self.revoked is None:
            raise NotAuthenticated("what was revoked can't be read on this node: nobody is let in until it can")
        if self.revoked.names(caller.principal.name, caller.serial) or self.revoked.names(caller.on_behalf_of, ""):
            mark("identity.revoked")
            raise NotAuthenticated(f"the credential of {caller.principal.name} was revoked")
        if caller.serial and self.revoked.uncertain:
            mark("identity.list_ended")
            raise NotAuthenticated(f"no certificate counts on this node: {self.revoked.uncertain}")

    def is_revoked(self, serial: str, *, certainly: bool = False) -> bool:
        """Whether the certificate of another node counts no more. `certainly`: not because nobody can tell."""
        if self.revoked is None:
            return not certainly
        return self.revoked.names("", serial) or (bool(self.revoked.uncertain) and not certainly)

    def connected(self, peer: Peer) -> Caller | None:
        """Whom a new connection's handshake names; None: nobody, until a token is shown. NotAuthenticated."""
        if not peer.secured:
            return evolve(ANYONE, client=peer.address) if self.settings.anonymous else None
        certificate = peer.certificate
        if certificate is None:
            return None
        name = principal_named_by(certificate, self.settings.trust_domains)
        caller = Caller(
            principal=Principal(name=name, mfa=name in self.settings.certificate_mfa),
            credential=Credential.MTLS,
            client=peer.address,
            serial=certificate.serial,
            expires=certificate.not_after,
        )
        self.check(caller)
        return caller

    def signed_in(self, peer: Peer, connected: Caller | None, token: str, purpose: str, reason: str) -> Caller:
        """Who asks from now on. NotAuthenticated for a token that isn't valid; InvalidArgument for the rest."""
        if purpose and purpose not in PURPOSES:
            raise InvalidArgument(f"{purpose!r} is no purpose of use: expected one of {', '.join(PURPOSES)}")
        if len(reason.encode()) > REASON_BYTES_MAX:
            raise InvalidArgument(f"a reason has at most {REASON_BYTES_MAX} bytes")
        if token:
            caller = self._by_token(peer, connected, token)
        elif connected is None:
            raise NotAuthenticated("nobody has shown who asks: expected a client certificate, or a token")
        else:
            caller = connected
        self.check(caller)
        return evolve(caller, purpose=purpose, reason=reason)

    def _by_token(self, peer: Peer, connected: Caller | None, token: str) -> Caller:
        now = self._wall_us()
        program = connected.principal.name if connected is not None and peer.secured else ""
        serial = peer.certificate.serial if peer.certificate is not None else ""
        if is_development_token(token):
            if self.settings.development_secret is None:
                raise NotAuthenticated("this node takes no tokens of development mode")
            if peer.secured:
                mark("identity.development_token_refused")
                raise NotAuthenticated("a token of development mode counts on loopback without TLS alone")
            made = read_development_token(self.settings.development_secret.read().strip(), token, now=now)
            principal = Principal(name=made.principal, mfa=made.mfa, development=True)
            return Caller(
                principal=principal,
                credential=Credential.DEVELOPMENT,
                client=peer.address,
                expires=made.expires,
            )
        if self._oidc is None:
            raise NotAuthenticated("this node takes no tokens: expected a client certificate alone")
        found = self._oidc.read(token, now=now)
        return Caller(
            principal=Principal(name=found.principal, mfa=found.mfa),
            credential=Credential.OIDC,
            client=f"{peer.address} {program}".strip(),
            serial=serial,
            expires=found.expires,
        )


def _reader(settings: OidcSettings) -> OidcTokens:
    from vdb.node.identity.oidc import OidcTokens  # loads joserfc, which nodes without tokens do without

    return OidcTokens(settings)
