"""KBKDF: keys from keys, by HMAC-SHA256 in counter mode (NIST SP 800-108r1, section 4.1).

    block i = HMAC(key, [i]32 || label || 0x00 || context || [L]32)        L is the output's length in bits

The counter stands before the fixed data. One use has one label; two uses of a key never share one. Labels hold no
zero byte, so that a label and its context can't be taken for another pair.
"""

from __future__ import annotations

from hmac import digest as hmac_digest

KEY_SIZE = 32
_BLOCK_SIZE = 32


def derive(key: bytes, label: bytes, context: bytes, size: int = KEY_SIZE) -> bytes:
    """`size` bytes for the use that `label` names, bound to `context`."""
    assert len(key) == KEY_SIZE
    assert label
    assert 0 not in label
    assert 0 < size <= 255 * _BLOCK_SIZE
    fixed = label + b"\0" + context + (size * 8).to_bytes(4, "big")
    blocks = -(-size // _BLOCK_SIZE)
    okm = b"".join(hmac_digest(key, i.to_bytes(4, "big") + fixed, "sha256") for i in range(1, blocks + 1))
    return okm[:size]


def keyed_hash(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256: 32 bytes that tell nothing of the message to who hasn't the key."""
    assert len(key) == KEY_SIZE
    return hmac_digest(key, message, "sha256")
