"""The key derivation against the library's own KBKDF."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode
from hypothesis import given
from hypothesis import strategies as st

from vdb.crypto.kdf import derive, keyed_hash

KEY = bytes(range(32))


@given(
    key=st.binary(min_size=32, max_size=32),
    label=st.text("abc/", min_size=1).map(str.encode),
    context=st.binary(max_size=80),
    size=st.integers(1, 100),
)
def test_equals_the_library(key: bytes, label: bytes, context: bytes, size: int) -> None:
    library = KBKDFHMAC(
        algorithm=SHA256(),
        mode=Mode.CounterMode,
        length=size,
        rlen=4,
        llen=4,
        location=CounterLocation.BeforeFixed,
        label=label,
        context=context,
        fixed=None,
    )
    assert derive(key, label, context, size) == library.derive(key)


def test_label_context_and_size_each_change_the_key() -> None:
    keys = [
        derive(KEY, b"one", b"context"),
        derive(KEY, b"two", b"context"),
        derive(KEY, b"one", b"another"),
        derive(KEY, b"one", b"context", 64)[:32],
    ]
    assert len(set(keys)) == 4


def test_a_label_with_a_zero_byte_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        derive(KEY, b"one\0context", b"")


def test_keyed_hash_is_hmac_sha256() -> None:
    # RFC 4231, test case 1, with its 20-byte key padded to 32 by the zeros that HMAC itself adds.
    key = b"\x0b" * 20 + bytes(12)
    assert keyed_hash(key, b"Hi There").hex() == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
