"""Requests of a rotation of keys, as they come through the gate."""

from __future__ import annotations

from attrs import frozen

from vdb.types import TenantId

ROTATION_STEP_BYTES = 512
"""Bytes of a prepare's body that a tenant takes in one step of a rotation: its key's row, and the start of a period. A
key of a file takes as much."""


@frozen(kw_only=True)
class PlainRotation:
    """From now on tenants' keys are wrapped by this root key."""

    root_key_id: bytes
    """16 bytes."""
    rotation_id: bytes = b""
    """16 bytes of whoever asks; under the id of the last rotation nothing begins. Empty: it does."""
    size = 0


@frozen(kw_only=True)
class PlainRewrap:
    """The next step of the rotation that has begun: these tenants' keys, and a new period for each that needs one."""

    tenants: tuple[TenantId, ...]
    files: int = 0
    """How many keys of files all of them may need."""

    @property
    def size(self) -> int:
        return ROTATION_STEP_BYTES * (len(self.tenants) + self.files)


@frozen(kw_only=True)
class PlainPeriod:
    """New data keys of one tenant from now on."""

    tenant: TenantId
    rotation_id: bytes = b""
    size = 0


KeyRequest = PlainRotation | PlainRewrap | PlainPeriod
"""`size`: bytes in a prepare's body beyond those of any request."""
