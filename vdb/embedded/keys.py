"""The root keys that a program or an operator gives, in any of the forms they come in."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from vdb.crypto.root import RootKeys, parse_root_key
from vdb.errors import ConfigError, KeysMissing
from vdb.world.key_providers import key_provider
from vdb.world.keys import root_keys_from_environment

_MAYBE_A_KEY = re.compile(r"[A-Za-z0-9+/]{20,100}={0,2}")

Keys = RootKeys | str | os.PathLike[str] | None
"""RootKeys, the base64 text of 32 bytes, the path of a key file (of keys, or of AWS KMS), None for the environment."""

HOW_TO_MAKE_A_KEY = "make one with: (umask 077; head -c 32 /dev/urandom | base64 > root.key)"


def find_root_keys(keys: Keys, *, option: str = "`keys`") -> RootKeys:
    """The root keys. Raises KeysMissing (`option` is how its message names a file), ConfigError, KeyFilePermissions."""
    if isinstance(keys, RootKeys):
        return keys
    if keys is None:
        found = root_keys_from_environment(os.environ)
        if found is None:
            raise KeysMissing(
                f"no root key: set VDB_ROOT_KEY to the base64 text of 32 random bytes, or name a key file with "
                f"{option}; {HOW_TO_MAKE_A_KEY}"
            )
        return found
    if isinstance(keys, str) and not Path(keys).exists():
        with suppress(ConfigError):
            return RootKeys(parse_root_key(keys))
        if _MAYBE_A_KEY.fullmatch(keys):
            # It may be a key with a typing error: the message mustn't quote it.
            raise KeysMissing(f"`keys` is neither a root key nor a file that exists; {HOW_TO_MAKE_A_KEY}")
    return key_provider(None, Path(keys)).load()
