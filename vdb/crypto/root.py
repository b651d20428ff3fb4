"""Root keys: what the operator gives a node, one for its region and, where wanted, one for the global group.

Rules
- A group never uses the given bytes themselves: its root key is derived from them with the group's name in the label,
  so one given key serves a regional and the global group without joining them, and a region's name is bound in.
- `key_id` names a root key without telling anything of it; the superblock holds it, so that a node says at once that it
  was given another key.
- A node signs with a key that is derived for it and its disk: nothing has to be stored, and a lost disk takes its key
  along. Whoever holds the root key could sign as any of its nodes; they open every record as well.
- What is wrapped is bound to a context: the same bytes don't unwrap for another tenant.
"""

from __future__ import annotations

import binascii
from base64 import b64decode

from vdb.crypto.kdf import KEY_SIZE, derive
from vdb.crypto.keywrap import unwrap_key, wrap_key
from vdb.crypto.signing import SigningKey
from vdb.errors import ConfigError
from vdb.types import GLOBAL_GROUP, GroupId


def parse_root_key(text: str) -> bytes:
    """The 32 bytes of a root key's base64 text, white space around it ignored; ConfigError for anything else."""
    try:
        key = b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        # Raised outside this block: the message of the error and its cause must not quote the text.
        key = None
    if key is None:
        raise ConfigError(f"a root key is the base64 text of {KEY_SIZE} random bytes; found text that isn't base64")
    if len(key) != KEY_SIZE:
        raise ConfigError(f"a root key is the base64 text of {KEY_SIZE} random bytes; found {len(key)} bytes")
    return key


class RootKey:
    """The root key of one group."""

    __slots__ = ("_key", "key_id")

    def __init__(self, key: bytes) -> None:
        assert len(key) == KEY_SIZE
        self._key = key
        self.key_id = derive(key, b"veritydb/v1/root/id", b"", 16)
        """16 bytes; the key can't be found from them."""

    def wrap(self, key: bytes, context: bytes = b"") -> bytes:
        """A 32-byte key wrapped (RFC 3394, 40 bytes) under a key that is derived for this context."""
        return wrap_key(self._wrapping_key(context), key)

    def unwrap(self, wrapped: bytes, context: bytes = b"") -> bytes | None:
        """The wrapped key; None when it was wrapped by another root key or for another context."""
        return unwrap_key(self._wrapping_key(context), wrapped)

    def signing_key(self, context: bytes) -> SigningKey:
        """A key that is derived for this context: the same each time, so that nobody has to keep it."""
        return SigningKey(derive(self._key, b"veritydb/v1/root/sign", context))

    def _wrapping_key(self, context: bytes) -> bytes:
        return derive(self._key, b"veritydb/v1/root/wrap", context)

    def __repr__(self) -> str:
        return f"RootKey(key_id={self.key_id.hex()})"


class RootKeys:
    """The root keys of a node, from the given 32 bytes each. Without a global one, the regional one serves both."""

    __slots__ = ("_global", "_regional")

    def __init__(self, regional: bytes, global_: bytes | None = None) -> None:
        assert len(regional) == KEY_SIZE
        assert global_ is None or len(global_) == KEY_SIZE
        self._regional = regional
        self._global = regional if global_ is None else global_

    def for_group(self, group: GroupId) -> RootKey:
        """The root key of this group."""
        given = self._global if group == GLOBAL_GROUP else self._regional
        return RootKey(derive(given, b"veritydb/v1/root/group/" + group.encode(), b""))

    def __repr__(self) -> str:
        return "RootKeys()"
