"""The Entropy port over the operating system's source of randomness: fit for keys."""

from __future__ import annotations

import os
import secrets


class RealEntropy:
    """The Entropy port."""

    def random_bytes(self, size: int) -> bytes:
        return os.urandom(size)  # what secrets asks too, through four calls

    def below(self, bound: int) -> int:
        return secrets.randbelow(bound)
