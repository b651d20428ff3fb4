"""A file that opens under no key that the node knows yet."""

from __future__ import annotations

import pytest
import trio

from vdb.errors import WrongKey
from vdb.node.projecting.keyed_disk import KeyedDisk
from vdb.projections.running import KeyAwaited

PATH = "projections/t_1/beds.db"


class OneFile:
    """A disk with a file under one key."""

    def __init__(self, key: bytes) -> None:
        self.key = key

    async def open_database(self, path: str, key: bytes) -> str:
        if key != self.key:
            raise WrongKey(path)
        return path


class Keys:
    """Of a node that knows one key, and of another once it has heard of its log's last op."""

    head = 7

    def __init__(self) -> None:
        self.commit = 5
        self.used: list[bytes] = []

    def is_known(self, head: int) -> bool:
        return self.commit >= head

    def with_earlier(self, key: bytes) -> list[bytes]:
        return [key, b"second"] if self.commit >= 7 else [key]

    def note_use(self, key: bytes, path: str, *, opened_by: bytes) -> None:
        self.used.append(opened_by)


async def test_a_key_that_stands_in_the_log_is_waited_for() -> None:
    keys = Keys()
    disk = KeyedDisk(OneFile(b"second"), keys)  # type: ignore[arg-type]
    with trio.move_on_after(0.3) as scope:
        await disk.open_database(PATH, b"first")
    assert scope.cancelled_caught, "it isn't called damaged while its key may come"
    keys.commit = 7
    assert await disk.open_database(PATH, b"first") == PATH
    assert keys.used == [b"second"]


async def test_who_has_others_behind_it_does_not_wait() -> None:
    keys = Keys()
    disk = KeyedDisk(OneFile(b"second"), keys, waits=False)  # type: ignore[arg-type]
    with pytest.raises(KeyAwaited):
        await disk.open_database(PATH, b"first")
    keys.commit = 7
    assert await disk.open_database(PATH, b"first") == PATH


async def test_what_no_key_opens_is_said_once_the_log_is_known() -> None:
    keys = Keys()
    keys.commit = 7
    with pytest.raises(WrongKey, match="opens under none of the keys that it had"):
        await KeyedDisk(OneFile(b"another"), keys).open_database(PATH, b"first")  # type: ignore[arg-type]
