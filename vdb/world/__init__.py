"""The real world: the ports of `vdb.ports` over the operating system. The only package that imports it.

`make_world` gives a node its World on a data directory; `make_throwaway_world` one on a temporary directory that goes
away when its disk is closed.
"""

from __future__ import annotations

from pathlib import Path

from vdb.ports import World
from vdb.types import Region
from vdb.world.clock import RealClock
from vdb.world.disk import RealDisk
from vdb.world.entropy import RealEntropy
from vdb.world.network import RealNetwork, TlsConfig

__all__ = ["TlsConfig", "make_throwaway_world", "make_world"]


def make_world(data_dir: Path, region: Region, *, tls: TlsConfig | None = None) -> World:
    """The world of a node whose data lie in `data_dir`, which is made (mode 0700) if it is missing.

    Raises ConfigError for TLS files that can't be used. The directory isn't locked yet: `world.disk.lock()`.
    """
    return _world(RealDisk(data_dir), region, tls)


def make_throwaway_world(region: Region) -> World:
    """A world on a temporary directory, removed when its disk is closed. Loopback only."""
    return _world(RealDisk.throwaway(), region, None)


def _world(disk: RealDisk, region: Region, tls: TlsConfig | None) -> World:
    return World(network=RealNetwork(tls), disk=disk, clock=RealClock(), entropy=RealEntropy(), region=region)
