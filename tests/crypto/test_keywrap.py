"""RFC 3394 key wrap."""

from __future__ import annotations

import pytest

from vdb.crypto.keywrap import WRAPPED_SIZE, unwrap_key, wrap_key


def test_the_vector_of_the_rfc() -> None:
    """RFC 3394, section 4.6: 256 bits of key data with a 256-bit KEK."""
    kek = bytes(range(32))
    key = bytes.fromhex("00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F")
    wrapped = "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"
    assert wrap_key(kek, key) == bytes.fromhex(wrapped)
    assert unwrap_key(kek, bytes.fromhex(wrapped)) == key


def test_the_vector_of_the_record_format(kat: dict[str, bytes]) -> None:
    assert wrap_key(kat["kek"], kat["dek"]) == kat["wrapped_dek_rfc3394"]
    assert unwrap_key(kat["kek"], kat["wrapped_dek_rfc3394"]) == kat["dek"]


@pytest.mark.parametrize("at", range(WRAPPED_SIZE))
def test_each_changed_byte_shows(kat: dict[str, bytes], at: int) -> None:
    wrapped = bytearray(kat["wrapped_dek_rfc3394"])
    wrapped[at] ^= 1
    assert unwrap_key(kat["kek"], bytes(wrapped)) is None


@pytest.mark.parametrize("size", [0, 8, 39, 41, 48])
def test_another_length_is_no_wrapped_key(kat: dict[str, bytes], size: int) -> None:
    assert unwrap_key(kat["kek"], kat["wrapped_dek_rfc3394"].ljust(size, b"\0")[:size]) is None


def test_another_kek_opens_nothing(kat: dict[str, bytes]) -> None:
    assert unwrap_key(bytes(32), kat["wrapped_dek_rfc3394"]) is None
