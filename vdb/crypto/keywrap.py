"""AES-256 key wrap (RFC 3394): a 32-byte key under another, as 40 bytes that show when they were changed."""

from __future__ import annotations

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from vdb.crypto.kdf import KEY_SIZE

WRAPPED_SIZE = KEY_SIZE + 8


def wrap_key(kek: bytes, key: bytes) -> bytes:
    """The 32-byte `key` wrapped: 40 bytes, the same ones each time."""
    assert len(kek) == KEY_SIZE
    assert len(key) == KEY_SIZE
    return aes_key_wrap(kek, key)


def unwrap_key(kek: bytes, wrapped: bytes) -> bytes | None:
    """The wrapped key, or None when these bytes were not wrapped by this `kek`."""
    assert len(kek) == KEY_SIZE
    if len(wrapped) != WRAPPED_SIZE:
        return None
    try:
        return aes_key_unwrap(kek, wrapped)
    except InvalidUnwrap:
        return None
