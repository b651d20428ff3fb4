"""Where a node's root keys come from: the environment, or a file that only its owner may read. `kms` has a third.

A key is base64 of 32 bytes. The file holds either one key alone, or lines `regional = KEY`, `global = KEY` and, for
each key that isn't the first any more, `other = KEY`; blank lines and lines that start with '#' don't count. No message
here ever holds a key.
"""

from __future__ import annotations

import base64
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from attrs import field, frozen

from vdb.crypto.root import RootKeys, parse_root_key
from vdb.errors import ConfigError, KeyFilePermissions, KeysMissing

REGIONAL_VARIABLE = "VDB_ROOT_KEY"
GLOBAL_VARIABLE = "VDB_ROOT_KEY_GLOBAL"
OTHERS_VARIABLE = "VDB_ROOT_KEY_OTHERS"
"""Keys that open what they wrapped, with spaces between them."""
ROOT_KEY_SIZE = 32
"""Bytes."""

_NAMES = ("regional", "global", "other")


class RootKeyProvider(Protocol):
    """Where root keys come from."""

    @property
    def name(self) -> str:
        """What an operator calls it."""

    def load(self) -> RootKeys:
        """The keys, as they are now. It may block. KeysMissing, KeyFilePermissions, ConfigError; none holds a key."""


@frozen
class EnvironmentKeys:
    """Keys of environment variables."""

    name = "environment"
    environ: Mapping[str, str] = field(repr=False)

    def load(self) -> RootKeys:
        found = root_keys_from_environment(self.environ)
        if found is None:
            raise KeysMissing(f"no root key: expected {REGIONAL_VARIABLE} in the environment, found none")
        return found


@frozen
class FileKeys:
    """Keys of a file that only its owner may read."""

    name = "file"
    path: Path

    def load(self) -> RootKeys:
        return root_keys_from_file(self.path)


def root_keys_from_environment(environ: Mapping[str, str]) -> RootKeys | None:
    """The keys of VDB_ROOT_KEY and, if they are there, VDB_ROOT_KEY_GLOBAL and _OTHERS; None without the first."""
    regional = environ.get(REGIONAL_VARIABLE, "")
    if not regional:
        return None
    global_ = environ.get(GLOBAL_VARIABLE, "")
    return RootKeys(
        regional=parse_root_key(regional),
        global_=parse_root_key(global_) if global_ else None,
        others=[parse_root_key(other) for other in environ.get(OTHERS_VARIABLE, "").split()],
        source=EnvironmentKeys.name,
        place=f"behind those in {OTHERS_VARIABLE}, with a space between",
    )


def root_keys_from_file(path: Path) -> RootKeys:
    """The keys of a file of mode 0600 (or 0400). Raises KeysMissing, KeyFilePermissions or ConfigError."""
    keys = read_key_lines(path)
    return RootKeys(
        regional=parse_root_key(keys["regional"][0]),
        global_=parse_root_key(keys["global"][0]) if "global" in keys else None,
        others=[parse_root_key(other) for other in keys.get("other", ())],
        source=FileKeys.name,
        place=f"in {path}, on a line `other = KEY`",
    )


def read_key_lines(path: Path) -> dict[str, list[str]]:
    """The texts of a file's keys: one 'regional', perhaps one 'global', any number of 'other'. As above."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise KeyFilePermissions(
                f"the key file {path} has mode {mode:04o}, so others than its owner may use it; run: chmod 600 {path}"
            )
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise KeysMissing(f"the key file {path} can't be read: {error.strerror}") from None
    keys = _parse(text, path)
    if "regional" not in keys:
        raise ConfigError(f"the key file {path} has no key: expected one, or a line `regional = KEY`")
    return keys


def generate_root_key() -> str:
    """A new key, as it stands in the environment or in a file."""
    return base64.b64encode(secrets.token_bytes(ROOT_KEY_SIZE)).decode()


def _parse(text: str, path: Path) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, value = _split(line)
        if name not in _NAMES or (name in keys and name != "other"):
            raise ConfigError(
                f"line {number} of the key file {path}: expected one key, or `regional = KEY`, `global = KEY` and "
                "`other = KEY`"
            )
        keys.setdefault(name, []).append(value)
    return keys


def _split(line: str) -> tuple[str, str]:
    """(name, key). A bare key is the regional one; base64 has '=' only at its end, a named line has it in between."""
    name, separator, value = line.partition("=")
    return (name.strip(), value.strip()) if separator and value.strip("= ") else ("regional", line)
