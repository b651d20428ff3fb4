"""Ed25519 signatures (RFC 8032): what heads of logs, exports and certificates are signed with."""

from __future__ import annotations

from attrs import field, frozen
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SEED_SIZE = 32
PUBLIC_KEY_SIZE = 32
SIGNATURE_SIZE = 64


@frozen
class SigningKey:
    """A private key. Made of 32 random bytes, which are all there is to keep."""

    seed: bytes = field(repr=False)
    _key: Ed25519PrivateKey = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        assert len(self.seed) == SEED_SIZE, f"a signing key's seed has {SEED_SIZE} bytes"
        object.__setattr__(self, "_key", Ed25519PrivateKey.from_private_bytes(self.seed))

    @property
    def public(self) -> bytes:
        """32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """64 bytes, the same each time."""
        return self._key.sign(message)


def verify_signature(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the holder of this public key signed the message. False for anything that is no key or no signature."""
    if len(public) != PUBLIC_KEY_SIZE or len(signature) != SIGNATURE_SIZE:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
