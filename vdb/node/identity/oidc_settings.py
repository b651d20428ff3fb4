"""Which OpenID Connect tokens count. Apart from what reads them: most nodes have none, and start without joserfc."""

from __future__ import annotations

from attrs import field, frozen

from vdb.node.identity.issuer_keys import KeysPlace
from vdb.ports import Source


@frozen(kw_only=True)
class OidcSettings:
    issuer: str
    audience: str
    jwks: Source | KeysPlace = field(repr=False)
    """What holds the keys, or where they are fetched."""
    principal_claim: str = "sub"
    principal_prefix: str = "oidc:"
    """Put before the claim, so that nobody's name can be mistaken for that of another kind of credential."""
    mfa_amr: tuple[str, ...] = ("mfa",)
    mfa_acr: tuple[str, ...] = ()
