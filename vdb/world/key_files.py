"""Making and changing files of root keys: a first key, a next one in front of it, and dropping those behind.

A file is written beside its place, with mode 0600, synced and renamed: who reads it meanwhile finds the old one or the
new one.
"""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path

from vdb.errors import ConfigError
from vdb.types import Region
from vdb.world.keys import generate_root_key, read_key_lines
from vdb.world.kms import encode_kms_file, is_kms_file, make_kms_file, read_kms_file, with_next_key, without_others

_MODE = 0o600


def create_key_file(path: Path) -> None:
    """A new root key in a file. ConfigError when there is one."""
    _write_new(path, generate_root_key() + "\n")


def create_kms_key_file(path: Path, kms_key: str, region: Region) -> None:
    """A new root key that AWS KMS keeps closed. ConfigError when there is a file; KeysMissing."""
    if path.exists():
        raise _exists(path)
    _write_new(path, encode_kms_file(make_kms_file(kms_key, region)))


def add_next_key(path: Path) -> None:
    """A new key in front: nodes that have read the file open what either wrapped, and a rotation leads to the new one.

    KeysMissing, KeyFilePermissions, ConfigError.
    """
    if _is_kms(path):
        _replace(path, encode_kms_file(with_next_key(read_kms_file(path))))
        return
    keys = read_key_lines(path)
    before = [*keys["regional"], *keys.get("global", ())]
    lines = [f"regional = {generate_root_key()}"]
    if "global" in keys:
        lines.append(f"global = {generate_root_key()}")
    lines += [f"other = {other}" for other in (*before, *keys.get("other", ()))]
    _replace(path, "\n".join(lines) + "\n")


def drop_other_keys(path: Path) -> int:
    """Keep the first keys alone; how many went. Only once no node needs them. KeysMissing, ConfigError."""
    if _is_kms(path):
        file = read_kms_file(path)
        _replace(path, encode_kms_file(without_others(file)))
        return len(file.others)
    keys = read_key_lines(path)
    lines = [f"{name} = {value}" for name in ("regional", "global") for value in keys.get(name, ())]
    _replace(path, "\n".join(lines) + "\n")
    return len(keys.get("other", ()))


def _is_kms(path: Path) -> bool:
    return path.exists() and is_kms_file(path.read_bytes())


def _exists(path: Path) -> ConfigError:
    return ConfigError(f"{path} is there already: expected a file that isn't, since its keys would be lost")


def _write_new(path: Path, text: str) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:
        raise _exists(path) from None
    with os.fdopen(file, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{b64encode(os.urandom(6), b'-_').decode()}")
    _write_new(draft, text)
    draft.replace(path)
