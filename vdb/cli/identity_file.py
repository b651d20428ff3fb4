"""The [identity] table of a node's configuration file: how callers show who they are, and how strict the gate is.

[identity]
anonymous = true                       # on loopback without TLS, callers without a token are let in as development's
client-certificates = "required"       # or "optional": then a client without one shows a token
trust-domains = ["clinic.example"]     # of SPIFFE ids; without it, all that the authority has signed
certificate-mfa = []                   # principals of certificates that lie on a second factor, such as a smart card's
revoked = "revoked.toml"               # revoked = ["serial in hex", "principal", ...]; read again when it changes
crl = ["ca.crl.pem"]                   # lists of the authority that signs certificates; read again when they change
crl-expired = "refuse"                 # or "allow": once a list has ended, no certificate counts, or all go on to
development-secret = "dev.secret"      # 32 bytes at least; see `vdb identity secret` and `vdb identity token`
idle-minutes = 15.0                    # after a pause, whoever came with a token signs in again; 0: never
session-hours = 12.0                   # likewise after so long
require-policy = false                 # nothing is allowed before the first policy
policy-admins = ["spiffe://clinic.example/officer"]   # who may then apply the first one
receipts = true                        # PHI is answered once the audit log has it; false for throw-away data alone
audit-non-phi-reads = false

[identity.oidc]
issuer = "https://login.clinic.example"
audience = "veritydb"
jwks = "issuer.jwks.json"              # the issuer's public keys; read again when it changes
jwks-url = "https://..."               # or where they are fetched; without either, where the issuer's description says
ca = "issuer-ca.pem"                   # of the issuer's web server; without it, those that the system trusts
principal-claim = "sub"
principal-prefix = "oidc:"
mfa-amr = ["mfa"]                      # words of `amr`, or values of `acr`, that mean a second factor
mfa-acr = []
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from vdb.errors import ConfigError
from vdb.node.gate.gate_settings import GateSettings
from vdb.node.identity.identities import IdentitySettings
from vdb.node.identity.issuer_keys import KeysPlace
from vdb.node.identity.oidc_settings import OidcSettings
from vdb.ports import Source
from vdb.world.network import RealNetwork
from vdb.world.watched_file import WatchedFile
from vdb.world.web_network import WebNetwork


class OidcSection(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename="kebab"):
    issuer: str
    audience: str
    jwks: str | None = None
    jwks_url: str = ""
    ca: str | None = None
    principal_claim: str = "sub"
    principal_prefix: str = "oidc:"
    mfa_amr: tuple[str, ...] = ("mfa",)
    mfa_acr: tuple[str, ...] = ()

    def settings(self, beside: Path) -> OidcSettings:
        for name, value in (("issuer", self.issuer), ("audience", self.audience), ("claim", self.principal_claim)):
            if not value:
                raise ConfigError(f"[identity.oidc] {name}: expected a text; found nothing")
        return OidcSettings(
            issuer=self.issuer,
            audience=self.audience,
            jwks=self._keys(beside),
            principal_claim=self.principal_claim,
            principal_prefix=self.principal_prefix,
            mfa_amr=self.mfa_amr,
            mfa_acr=self.mfa_acr,
        )

    def _keys(self, beside: Path) -> Source | KeysPlace:
        if self.jwks is not None:
            if self.jwks_url or self.ca is not None:
                raise ConfigError("[identity.oidc] jwks names a file: expected neither jwks-url nor ca")
            return WatchedFile(beside / self.jwks)
        web = {"https": WebNetwork(None if self.ca is None else beside / self.ca), "http": RealNetwork()}
        return KeysPlace(issuer=self.issuer, url=self.jwks_url, web=web)


class IdentitySection(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename="kebab"):
    anonymous: bool = True
    client_certificates: Literal["required", "optional"] = "required"
    trust_domains: tuple[str, ...] = ()
    certificate_mfa: tuple[str, ...] = ()
    revoked: str | None = None
    crl: tuple[str, ...] = ()
    crl_expired: Literal["refuse", "allow"] = "refuse"
    development_secret: str | None = None
    idle_minutes: float = 15.0
    session_hours: float = 12.0
    require_policy: bool = False
    policy_admins: tuple[str, ...] = ()
    receipts: bool = True
    audit_non_phi_reads: bool = False
    oidc: OidcSection | None = None

    def identity(self, beside: Path, authority: Path | None = None) -> IdentitySettings:
        """`beside`: the configuration file's directory. `authority`: the certificates of who signs others'."""
        if self.idle_minutes < 0 or self.session_hours < 0:
            raise ConfigError("[identity] idle-minutes and session-hours: expected 0 or more")
        return IdentitySettings(
            anonymous=self.anonymous,
            trust_domains=self.trust_domains,
            certificate_mfa=self.certificate_mfa,
            revoked=_file(beside, self.revoked),
            lists=tuple(WatchedFile(beside / name) for name in self.crl),
            authorities=None if authority is None else WatchedFile(authority),
            lists_may_end=self.crl_expired == "allow",
            development_secret=_file(beside, self.development_secret),
            oidc=None if self.oidc is None else self.oidc.settings(beside),
            idle_seconds=self.idle_minutes * 60.0,
            session_seconds=self.session_hours * 3600.0,
        )

    def gate(self) -> GateSettings:
        return GateSettings(
            receipts=self.receipts,
            require_policy=self.require_policy,
            policy_admins=self.policy_admins,
            audit_non_phi_reads=self.audit_non_phi_reads,
        )


def _file(beside: Path, name: str | None) -> WatchedFile | None:
    return None if name is None else WatchedFile(beside / name)
