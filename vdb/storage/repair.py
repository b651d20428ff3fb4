"""How storage asks for help with a damaged file: replicas of a group have the same bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

Repair = Callable[[str], Awaitable[bool]]
"""Mends the file at this path of the disk from another replica; False when nobody can."""

REPAIRS_MAX = 10
"""Attempts to have a file mended before a checkpoint fails because of it."""
REPAIR_RETRY_SECONDS = 1.0
"""After an attempt that failed: whoever has the file may be away."""
