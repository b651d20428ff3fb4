"""Where a command's node takes its root keys from."""

from __future__ import annotations

from pathlib import Path

from vdb.cli.config_file import ConfigFile
from vdb.crypto.root import RootKeys
from vdb.embedded.keys import find_root_keys
from vdb.errors import ConfigError
from vdb.world.key_providers import key_provider
from vdb.world.keys import EnvironmentKeys, RootKeyProvider


def start_keys(
    provider: str | None, key_file: Path | None, file: ConfigFile, beside: Path
) -> tuple[RootKeys, RootKeyProvider]:
    """The keys, and where they come from. Flags win over the file; paths in it count from `beside`.

    ConfigError, KeysMissing, KeyFilePermissions.
    """
    if file.keys.file is not None and file.node.key_file is not None:
        raise ConfigError("the key file is named twice: expected keys.file or node.key-file, found both")
    named = file.keys.file or file.node.key_file
    path = key_file or (None if named is None else beside / named)
    found = key_provider(provider, path)
    if isinstance(found, EnvironmentKeys):
        return find_root_keys(None, option="--key-file"), found
    return found.load(), found
