"""Root keys: what the operator gives a node, one for its region and, where wanted, one for the global group.

Rules
- A group never uses the given bytes themselves: its root key is derived from them with the group's name in the label,
  so one given key serves a regional and the global group without joining them, and a region's name is bound in.
- `key_id` names a root key without telling anything of it; the superblock holds it, so that a node says at once that it
  was given another key.
- While a root key is exchanged for another one, a node is given both, and each opens what it wrapped. Which one wraps
  what is new, the log says (`vdb.kernel.key_rotation`).
- A node signs with a key that is derived for it and its disk: nothing has to be stored, and a lost disk takes its key
  along. Whoever holds the root key could sign as any of its nodes; they open every record as well.
- What is wrapped is bound to a context: the same bytes don't unwrap for another tenant.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Sequence

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


class RootRing:
    """The root keys of one group that a node was given: the one that is to wrap, and those that open as well."""

    __slots__ = ("_by_id", "current", "founding")

    def __init__(self, current: RootKey, others: Sequence[RootKey] = ()) -> None:
        self.current = current
        """A rotation leads to this one."""
        self.founding = current
        """This one wraps until a rotation has begun."""
        self._by_id = {root.key_id: root for root in (current, *others)}

    def wrapping_with(self, key_id: bytes) -> RootRing:
        """The same keys, of which this one wraps until a rotation has begun, if it is among them.

        A group's nodes get their keys one after the other. What they were created with, they agree on meanwhile.
        """
        ring = RootRing(self.current, tuple(self._by_id.values()))
        ring.founding = self._by_id.get(key_id, self.current)
        return ring

    def joined_by(self, others: RootRing) -> RootRing:
        """These keys and those, of which the first is the one that is to wrap."""
        ring = RootRing(others.current, (*others._by_id.values(), *self._by_id.values()))
        ring.founding = self.founding
        return ring

    @property
    def ids(self) -> tuple[bytes, ...]:
        """16 bytes each, the current one's first."""
        return tuple(self._by_id)

    @property
    def keys(self) -> tuple[RootKey, ...]:
        """All of them, the current one first."""
        return tuple(self._by_id.values())

    def find(self, key_id: bytes) -> RootKey | None:
        return self._by_id.get(key_id)

    def __repr__(self) -> str:
        return f"RootRing({', '.join(key_id.hex() for key_id in self.ids)})"


class RootKeys:
    """The root keys of a node, from the given 32 bytes each. Without a global one, the regional one serves both.

    `others` open what they wrapped, in either group: the key before this one, or the one to come.
    """

    __slots__ = ("_global", "_others", "_regional", "place", "region", "source")

    def __init__(
        self,
        regional: bytes,
        global_: bytes | None = None,
        others: Sequence[bytes] = (),
        *,
        source: str = "program",
        place: str = "among the `others` of the program's RootKeys",
        region: str = "",
    ) -> None:
        """`region`: the only one that they are for; empty: whichever the node is in."""
        assert all(len(key) == KEY_SIZE for key in (regional, global_ or regional, *others))
        self._regional = regional
        self._global = regional if global_ is None else global_
        self._others = tuple(others)
        self.region = region
        self.source = source
        """Where they come from: what an operator is told of them."""
        self.place = place
        """Where another one is to be put, in words."""

    def beside(self, earlier: RootKeys) -> RootKeys:
        """These keys, with which those before open as well."""
        others = (*self._others, earlier._regional, earlier._global, *earlier._others)
        own_global = None if self._global == self._regional else self._global
        return RootKeys(self._regional, own_global, others, source=self.source, place=self.place, region=self.region)

    def for_group(self, group: GroupId) -> RootKey:
        """The root key of this group: the one that wraps. ConfigError where the keys are another region's."""
        if self.region and group not in (self.region, GLOBAL_GROUP):
            raise ConfigError(f"the root keys are for region '{self.region}': expected those of region '{group}'")
        return _root_of(self._global if group == GLOBAL_GROUP else self._regional, group)

    def ring(self, group: GroupId) -> RootRing:
        """All that this group's keys may be wrapped by."""
        return RootRing(self.for_group(group), [_root_of(given, group) for given in self._others])

    def __repr__(self) -> str:
        return "RootKeys()"


def _root_of(given: bytes, group: GroupId) -> RootKey:
    return RootKey(derive(given, b"veritydb/v1/root/group/" + group.encode(), b""))
