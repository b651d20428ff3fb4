"""Who is connected to the nodes of a cluster, as an administrator sees it."""

from __future__ import annotations

from typing import Any

from attrs import frozen


@frozen(kw_only=True)
class LiveSession:
    """A connection on which somebody has shown who asks."""

    node: str
    """The address of the node that it is connected to."""
    number: int
    """The node's own for it."""
    principal: str
    credential: str
    """How it was shown: "mtls", "oidc", "development"."""
    mfa: bool
    client: str
    """Where it connects from."""
    purpose: str
    since: int
    """Microseconds UTC."""
    idle_seconds: float
    """Since its last call."""
    expires: int | None
    """Microseconds UTC."""

    @property
    def id(self) -> str:
        """What it is ended by: the node's address, '/', and its number."""
        return f"{self.node}/{self.number}"


def sessions_from(node: str, results: Any) -> list[LiveSession]:
    return [
        LiveSession(
            node=node,
            number=one.session,
            principal=str(one.principal),
            credential=str(one.kind),
            mfa=one.mfa,
            client=str(one.client),
            purpose=str(one.purpose),
            since=one.since,
            idle_seconds=one.idleMicros / 1e6,
            expires=one.expires or None,
        )
        for one in results.sessions
    ]
