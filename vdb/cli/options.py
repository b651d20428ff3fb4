"""Options that many commands share, and the client that follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vdb.client.client import Client
from vdb.client.connect import connect
from vdb.client.credentials import Token
from vdb.client.router import OnLink
from vdb.errors import ConfigError
from vdb.types import DEFAULT_ADDRESS
from vdb.world.network import TlsConfig
from vdb.world.token_file import token_of

Json = Annotated[bool, Parameter(name="--json")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class NodeOptions:
    """Where the node is, and how results are printed."""

    address: Annotated[str, Parameter(env_var="VDB_ADDRESS")] = DEFAULT_ADDRESS
    "host:port of the node; of a cluster's nodes with commas between them."

    tls_cert: Annotated[Path | None, Parameter(env_var="VDB_TLS_CERT")] = None
    "Certificate chain of this client (PEM); with --tls-key and --tls-ca, for a node that asks for TLS."

    tls_key: Annotated[Path | None, Parameter(env_var="VDB_TLS_KEY")] = None
    "Private key of that certificate."

    tls_ca: Annotated[Path | None, Parameter(env_var="VDB_TLS_CA")] = None
    "Certificates of the authority that signed the node's certificate."

    token: Annotated[str, Parameter(env_var="VDB_TOKEN")] = ""
    "A token that says who asks, where that isn't whom the certificate names; @FILE reads it from a file."

    purpose: Annotated[str, Parameter(env_var="VDB_PURPOSE")] = ""
    "What for: a code of HL7 v3-ActReason, such as TREAT. It stands in the audit log."

    reason: str = ""
    "Why, in words. They stand in the audit log."

    json: Json = False
    "Print JSON: one object, or one object a line."

    def client(self, tenant: int = 1, on_link: OnLink | None = None) -> Client:
        """A client for `async with`."""
        tls = tls_config(self.tls_cert, self.tls_key, self.tls_ca)
        return connect(
            self.address,
            tls=tls,
            tenant=tenant,
            on_link=on_link,
            token=read_token(self.token),
            purpose=self.purpose,
            reason=self.reason,
        )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TenantOptions(NodeOptions):
    """Where the node is, whose data is meant, and how results are printed."""

    tenant: Annotated[int, Parameter(env_var="VDB_TENANT")] = 1
    "The tenant's number."

    def tenant_client(self, on_link: OnLink | None = None) -> Client:
        """A client of this tenant, for `async with`."""
        return self.client(self.tenant, on_link)


NODE = NodeOptions()
TENANT = TenantOptions()


def read_token(text: str) -> Token:
    """A token, or what reads it anew from the file after the '@'."""
    if not text.startswith("@"):
        return text
    return token_of(text[1:])


def tls_config(cert: Path | None, key: Path | None, ca: Path | None) -> TlsConfig | None:
    """All three, or the authority's alone, or none; ConfigError otherwise."""
    given = [path for path in (cert, key, ca) if path is not None]
    if not given:
        return None
    if ca is None or (cert is None) != (key is None):
        raise ConfigError(
            f"TLS needs a certificate, its key and the authority's: expected three files, found {len(given)}"
        )
    return TlsConfig(cert=cert, key=key, ca=ca)
