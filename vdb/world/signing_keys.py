"""Files with a signing key: of a witness, or of somebody who exports. Base64 of 32 bytes, mode 0600."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from vdb.crypto.root import parse_root_key
from vdb.crypto.signing import SEED_SIZE, SigningKey
from vdb.errors import ConfigError, KeyFilePermissions, KeysMissing


def make_signing_key(path: Path) -> SigningKey:
    """A new key in a new file. ConfigError if there is one already, or it can't be made."""
    seed = secrets.token_bytes(SEED_SIZE)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"the key file {path} can't be made: {error.strerror}") from None
    with open(descriptor, "wb") as file:
        file.write(base64.b64encode(seed) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return SigningKey(seed)


def read_signing_key(path: Path) -> SigningKey:
    """The key in a file. KeysMissing, KeyFilePermissions, ConfigError."""
    try:
        mode = path.stat().st_mode & 0o777
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise KeysMissing(f"the key file {path} can't be read: {error.strerror}") from None
    if mode & 0o077:
        raise KeyFilePermissions(
            f"the key file {path} has mode {mode:04o}, so others than its owner may use it; run: chmod 600 {path}"
        )
    return SigningKey(parse_root_key(text))
