"""What a committed op asks for that this node can't do yet: open, or wrap, by a root key that it wasn't given.

A node that was given another root key than the log goes by takes part in the protocol, for which it needs no key: it
writes what it is sent, and says so. It applies nothing from that op on, so it serves nothing, and leads nobody for
long. It goes on when it is given the key (`vdb.node.keys.root_watch`).
"""

from __future__ import annotations

from collections.abc import Iterable

from vdb.crypto.keyring import Keyring
from vdb.kernel.command import KeyScope
from vdb.kernel.effect import Effect, StoreKey, TurnToRootKey


def missing_root_key(effects: Iterable[Effect], keyring: Keyring) -> bytes:
    """The id of a root key without which these can't be performed, 16 bytes; empty when none is missing."""
    for effect in effects:
        if isinstance(effect, TurnToRootKey):
            needed = effect.root_key_id
        elif isinstance(effect, StoreKey) and effect.row.scope is KeyScope.TENANT:
            needed = effect.row.kek_id
        else:
            continue
        if keyring.roots.find(needed) is None:
            return needed
    return b""
