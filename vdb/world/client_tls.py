"""The TLS settings of a client that isn't a node: the same as a node's own."""

from __future__ import annotations

import ssl

from vdb.world.network import TlsConfig, tls_context


def client_context(tls: TlsConfig) -> ssl.SSLContext:
    """TLS 1.3, both sides with certificates; ConfigError for files that can't be used."""
    return tls_context(tls, ssl.PROTOCOL_TLS_CLIENT)
