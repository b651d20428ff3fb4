"""What a client shows each node that it connects to: a token, and what it asks for.

A certificate is shown by the connection itself; then there may still be a purpose of use to name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import field, frozen

from vdb.client.link import Link

Token = str | Callable[[], str]
"""A token, or what gives one each time that a connection is made: one that is still valid."""


@frozen(kw_only=True)
class Whoami:
    """Whom a node takes a client for."""

    principal: str
    credential: str
    """How it was shown: "mtls", "oidc", "development"."""
    mfa: bool
    """A second factor was shown."""
    development: bool
    """A credential of development mode: it reaches no PHI once a policy holds."""
    expires: int | None
    """Microseconds UTC."""


@frozen(kw_only=True)
class Credentials:
    token: Token = field(default="", repr=False)
    purpose: str = ""
    """A code of HL7 v3-ActReason, such as TREAT."""
    reason: str = field(default="", repr=False)

    @property
    def says_something(self) -> bool:
        return bool(self.token or self.purpose or self.reason)

    async def show(self, link: Link) -> Whoami:
        """NotAuthenticated for what the node doesn't accept; ConnectionLost."""
        token = self.token if isinstance(self.token, str) else self.token()

        def build(params: Any) -> None:
            params.token = token
            params.purpose = self.purpose
            params.reason = self.reason

        said = await link.call("authenticate", build)
        return Whoami(
            principal=str(said.principal),
            credential=str(said.kind),
            mfa=bool(said.mfa),
            development=bool(said.development),
            expires=said.expires or None,
        )


NOTHING = Credentials()
