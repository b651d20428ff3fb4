"""Requests of a rotation of keys, as they come through the gate."""

from __future__ import annotations

from attrs import frozen

from vdb.types import TenantId

ROTATION_STEP_BYTES = 512
"""Bytes of a prepare's body that a tenant takes in one step of a rotation: its key's row, and the start of a period."""


@frozen(kw_only=True)
class PlainRotation:
    """From now on tenants' keys are wrapped by this root key."""

    root_key_id: bytes
    """16 bytes."""
    size = 0


@frozen(kw_only=True)
class PlainRewrap:
    """The next step of the rotation that has begun: these tenants' keys, and a new period for each that needs one."""

    tenants: tuple[TenantId, ...]

    @property
    def size(self) -> int:
        return ROTATION_STEP_BYTES * len(self.tenants)


@frozen(kw_only=True)
class PlainPeriod:
    """New data keys of one tenant from now on."""

    tenant: TenantId
    size = 0


KeyRequest = PlainRotation | PlainRewrap | PlainPeriod
"""`size`: bytes in a prepare's body beyond those of any request."""
