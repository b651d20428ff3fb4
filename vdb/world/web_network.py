"""The Network port towards web servers of others: TLS 1.2 or 1.3, verified, and nothing is listened to."""

from __future__ import annotations

import ssl
from pathlib import Path

from vdb.errors import ConfigError
from vdb.world.network import RealNetwork


class WebNetwork(RealNetwork):
    """See the module's docstring. `ca`: of the server's authority; None: those that the system trusts."""

    def __init__(self, ca: Path | None = None) -> None:
        """ConfigError names a file that can't be used."""
        super().__init__()
        try:
            self._client_tls = ssl.create_default_context(cafile=ca)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(f"TLS can't be set up from {ca}: {error.strerror or error}") from error
        self._client_tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._listens = False
