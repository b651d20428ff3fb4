"""What is told of keys: where root keys come from, and how far a rotation is. The id of a key tells nothing of it."""

from __future__ import annotations

from attrs import frozen

ROTATION_ID_SIZE = 16
"""Bytes by which whoever begins a rotation names it."""


@frozen(kw_only=True)
class KeyStatus:
    """Of one group, as one node has it."""

    node: str
    group: str
    provider: str
    """Where the node's root keys come from."""
    root_key_id: bytes
    """16 bytes: of the root key that wraps new tenants' keys."""
    given: tuple[bytes, ...]
    """Ids of the root keys that the node has; the first is the one that a rotation would lead to."""
    tenants: int
    """That have a key in the group."""
    behind: int
    """Tenants whose turn in the rotation is still to come."""
    keys: int
    """Rows of the key store."""
    began: int
    """Microseconds UTC of the last rotation; 0: there was none."""
    settled: bool
    """Whether the node's disk needs no root key but `root_key_id`."""
    files: int = 0
    """Encrypted files on the node that are still under an earlier key."""
    missing: bytes = b""
    """The id of a root key that the log goes by and the node wasn't given, 16 bytes: it waits for it. Empty: none."""


@frozen(kw_only=True)
class KeyReport:
    """What one node said of its keys."""

    address: str
    status: KeyStatus | None
    """None: it didn't answer."""
    problem: str = ""
    """Why not."""


@frozen(kw_only=True)
class RotationStep:
    rewrapped: int
    """Tenants' keys that this step wrapped anew."""
    left: int
    """Tenants whose turn is still to come; 0: the rotation is done."""
    period: int
    """The period that the tenant's new data keys are of, where one tenant was asked for; otherwise 0."""
    root_key_id: bytes
    """16 bytes: of the root key that wraps tenants' keys now."""
