"""After a failed sync the cache may lie; dropping it tells the truth."""

from __future__ import annotations

from random import Random

from sim.world.platter import Inode


def test_what_a_failed_sync_left_in_the_cache_alone_is_forgotten() -> None:
    lied = 0
    for seed in range(30):
        inode = Inode()
        inode.land(inode.change(0, b"new"))
        inode.sync_failed(Random(seed))
        lied += inode.cached != inode.stable
        inode.drop_cache()
        assert inode.cached == inode.stable
    assert lied > 0


def test_what_is_still_dirty_stays() -> None:
    inode = Inode()
    inode.land(inode.change(0, b"dirty"))
    inode.drop_cache()
    assert inode.cached == b"dirty"
    assert not inode.stable
