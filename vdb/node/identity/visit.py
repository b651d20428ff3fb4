"""One connection's credentials, from its handshake to its end.

Rules
- Whoever came with a token has to come again: after a pause, after a while, and once the token has run out.
- Each failed attempt is answered later than the one before; after a few the connection ends.
- What was revoked ends the connections of those who have shown it.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from vdb.errors import NotAuthenticated
from vdb.marks import mark
from vdb.node import log
from vdb.node.gate.caller import Caller
from vdb.node.identity.identities import Identities
from vdb.node.identity.revocation import Revoked
from vdb.ports import Peer

ATTEMPTS_MAX = 5
PAUSE_SECONDS = 0.5
"""Before a failed attempt is answered; doubles with each."""


class Visit:
    """See the module's docstring. `close` ends the connection."""

    def __init__(self, identities: Identities, peer: Peer, close: Callable[[], None]) -> None:
        self.identities = identities
        self.peer = peer
        self.close = close
        self.refusal = ""
        """Why what the handshake showed doesn't count."""
        self.connected: Caller | None = None
        """Whom the handshake has named."""
        self.caller: Caller | None = None
        """Who asks now."""
        self.since = identities.now()
        """Microseconds UTC at which they came."""
        self._has_token = False
        self._begun = self.called_at = trio.current_time()
        self._attempts = 0
        self._checked: Revoked | None = None
        self._checked_for: Caller | None = None
        try:
            self.connected = identities.connected(peer)
        except NotAuthenticated as error:
            mark("identity.refused")
            log.warning("identity.refused", client=peer.address, reason=log.reason(error))
            self.refusal = str(error)
        self.caller = self.connected
        self._number = identities.sessions.begin(self)

    def leave(self) -> None:
        """The connection is over."""
        self.identities.sessions.leave(self._number)

    @property
    def nobody(self) -> str:
        """What is said to a caller whom nothing names."""
        return self.refusal or "nobody has shown who asks: expected a client certificate, or a token"

    def sign_in(self, token: str, purpose: str, reason: str) -> Caller:
        """Who asks from now on. NotAuthenticated, InvalidArgument."""
        if self._attempts >= ATTEMPTS_MAX:
            self.close()
            raise NotAuthenticated(f"{ATTEMPTS_MAX} attempts have failed on this connection")
        if self.refusal and not token:
            raise NotAuthenticated(self.refusal)
        try:
            caller = self.identities.signed_in(self.peer, self.connected, token, purpose, reason)
        except NotAuthenticated:
            self.caller = self.connected
            self._attempts += 1
            raise
        self.caller, self.since = caller, self.identities.now()
        self._attempts = 0
        self._has_token = bool(token)
        self._begun = self.called_at = trio.current_time()
        return caller

    async def pause(self) -> None:
        """After a failed attempt, before that is said."""
        await trio.sleep(PAUSE_SECONDS * 2 ** min(self._attempts, ATTEMPTS_MAX))

    def check(self, caller: Caller, *, touch: bool = False) -> None:
        """Whether the caller's credential still counts. `touch`: a call has come. NotAuthenticated."""
        revoked = self.identities.revoked
        if revoked is None or revoked is not self._checked or caller is not self._checked_for:
            self.identities.check(caller)
            self._checked, self._checked_for = revoked, caller
        if self._has_token:
            why = self._lapsed()
            if why:
                raise NotAuthenticated(why)
        if touch:
            self.called_at = trio.current_time()

    def ended(self, caller: Caller | None) -> str:
        """Why the connection is to be closed; empty: it isn't."""
        if caller is None:
            return ""
        try:
            self.check(caller)
        except NotAuthenticated as error:
            return str(error)
        expired = caller.expires is not None and self.identities.now() >= caller.expires
        return f"the credential of {caller.principal.name} has run out" if expired else ""

    def _lapsed(self) -> str:
        settings, now = self.identities.settings, trio.current_time()
        if settings.idle_seconds and now - self.called_at >= settings.idle_seconds:
            mark("identity.idle")
            return f"nothing was asked for {settings.idle_seconds:g} s: sign in again"
        if settings.session_seconds and now - self._begun >= settings.session_seconds:
            mark("identity.session_over")
            return f"signed in for {settings.session_seconds:g} s: sign in again"
        return ""
