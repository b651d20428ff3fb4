"""The Entropy port over the operating system's source of randomness: fit for keys."""

from __future__ import annotations

import secrets


class RealEntropy:
    """The Entropy port."""

    def random_bytes(self, size: int) -> bytes:
        return secrets.token_bytes(size)

    def below(self, bound: int) -> int:
        return secrets.randbelow(bound)
