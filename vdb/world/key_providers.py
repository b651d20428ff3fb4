"""Which provider a node's root keys come from: the one that is named, or the one that what is given speaks of."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import anyio.to_thread

from vdb.crypto.root import RootKeys
from vdb.errors import ConfigError, KeysMissing
from vdb.world.keys import EnvironmentKeys, FileKeys, RootKeyProvider
from vdb.world.kms import AwsKmsKeys, is_kms_file

PROVIDERS = (EnvironmentKeys.name, FileKeys.name, AwsKmsKeys.name)


def key_provider(name: str | None, path: Path | None, environ: Mapping[str, str] = os.environ) -> RootKeyProvider:
    """The provider of this name; None: a file's, where one is named, by what is in it, else the environment's.

    ConfigError, KeysMissing.
    """
    if name is not None and name not in PROVIDERS:
        raise ConfigError(f"a key provider is one of {', '.join(PROVIDERS)}; found '{name}'")
    if name == EnvironmentKeys.name or (name is None and path is None):
        return EnvironmentKeys(environ)
    if path is None:
        raise ConfigError(f"the key provider '{name}' reads a file: expected --key-file, found none")
    if name is None:
        return AwsKmsKeys(path) if is_kms_file(_content(path)) else FileKeys(path)
    return AwsKmsKeys(path) if name == AwsKmsKeys.name else FileKeys(path)


def reloading(provider: RootKeyProvider) -> Callable[[], Awaitable[RootKeys]]:
    """Ask the provider once more, in a thread, so that nobody waits for a file or the KMS."""

    async def load() -> RootKeys:
        return await anyio.to_thread.run_sync(provider.load)

    return load


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError as error:
        raise KeysMissing(f"the key file {path} can't be read: {error.strerror}") from None
