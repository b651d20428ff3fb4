"""Base64 (RFC 4648 section 4) in its one canonical form: two texts never stand for the same bytes.

A verifier that takes other forms lets somebody change a signed file without a signature noticing.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode


def encode(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def decode(text: str) -> bytes | None:
    """The bytes; None for anything but their canonical form."""
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if encode(data) == text else None
