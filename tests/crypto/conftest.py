"""What the tests of `vdb.crypto` share: the known-answer vector, reproducible entropy and a ready keyring."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from vdb.crypto.keyring import Keyring
from vdb.crypto.root import RootKeys
from vdb.kernel.command import KeyScope
from vdb.types import DataClass, GroupId, TenantId

VECTOR = Path(__file__).parent / "record_kat.json"


class CountedEntropy:
    """Bytes that differ with each call and repeat with each run."""

    def __init__(self) -> None:
        self.calls = 0

    def random_bytes(self, size: int) -> bytes:
        self.calls += 1
        out = b"".join(sha256(bytes((i,)) + self.calls.to_bytes(8, "big")).digest() for i in range(-(-size // 32)))
        return out[:size]

    def below(self, bound: int) -> int:
        return int.from_bytes(self.random_bytes(8), "big") % bound


@pytest.fixture(scope="session")
def kat() -> dict[str, bytes]:
    return {name: bytes.fromhex(value) for name, value in json.loads(VECTOR.read_text()).items()}


@pytest.fixture(scope="session")
def new_entropy() -> type[CountedEntropy]:
    return CountedEntropy


@pytest.fixture
def entropy() -> CountedEntropy:
    return CountedEntropy()


@pytest.fixture
def keyring(entropy: CountedEntropy) -> Keyring:
    """The keyring of a regional group, with the key of tenant 1."""
    group = GroupId("eu-west-1")
    keyring = Keyring(group=group, root=RootKeys(bytes(range(32))).for_group(group), cached_keys_max=8)
    keyring.add(keyring.make(TenantId(1), KeyScope.TENANT, "", DataClass.PHI, entropy))
    return keyring
