"""Under which key a file lies: real files, and a keyring in which keys follow each other."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from sim.checkers.file_keys import file_keys, key_of_file
from vdb.crypto.keyring import Keyring
from vdb.crypto.root import RootKeys
from vdb.errors import WrongKey
from vdb.kernel.command import KeyScope
from vdb.projections.store import close_sqlcipher, open_sqlcipher
from vdb.types import DataClass, GroupId, TenantId

NAME = "census"
GROUP = GroupId("eu-west-1")


class Drawn:
    """Bytes that are the same in each run."""

    def __init__(self) -> None:
        self._random = Random(1)

    def random_bytes(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def below(self, bound: int) -> int:
        return self._random.randrange(bound)


@pytest.fixture
def keys() -> list[bytes]:
    """Of a file whose key was followed by two others."""
    entropy = Drawn()
    keyring = Keyring(group=GROUP, root=RootKeys(bytes(32)).for_group(GROUP))
    assert file_keys(keyring, 1, NAME) == [], "the tenant has no key yet"
    keyring.add(keyring.make(TenantId(1), KeyScope.TENANT, "", DataClass.PHI, entropy))
    assert file_keys(keyring, 1, NAME) == []
    first = keyring.make(TenantId(1), KeyScope.PROJECTION, NAME, DataClass.PHI, entropy)
    second = keyring.following(first, entropy)
    third = keyring.following(second, entropy)
    for row in (first, second, third):
        keyring.add(row)
    found = file_keys(keyring, 1, NAME)
    assert found == [keyring.key(row.dek_id) for row in (third, second, first)]
    assert file_keys(keyring, 1, "another") == []
    return found


def made(file: str, key: bytes) -> None:
    connection = open_sqlcipher(file, key)
    connection.execute("CREATE TABLE t (x)")
    connection.execute("INSERT INTO t VALUES (7)")
    close_sqlcipher(connection)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_file_lies_under_any_key_that_its_name_had(keys: list[bytes], tmp_path: Path, place: int) -> None:
    file = str(tmp_path / "census.db")
    made(file, keys[place])
    assert key_of_file(keys, file) == keys[place]
    connection = open_sqlcipher(file, keys[place])
    assert connection.execute("SELECT x FROM t").fetchall() == [(7,)], "looking for the key changes nothing"
    close_sqlcipher(connection)


def test_no_key_opens_what_lies_under_another_ones(keys: list[bytes], tmp_path: Path) -> None:
    file = str(tmp_path / "census.db")
    made(file, bytes(32))
    with pytest.raises(WrongKey, match="opens under none of the 3 keys that the log has put for it"):
        key_of_file(keys, file)


def test_a_damaged_head_opens_under_no_key(keys: list[bytes], tmp_path: Path) -> None:
    file = tmp_path / "census.db"
    made(str(file), keys[0])
    content = bytearray(file.read_bytes())
    content[5] ^= 1
    file.write_bytes(content)
    with pytest.raises(WrongKey):
        key_of_file(keys, str(file))
