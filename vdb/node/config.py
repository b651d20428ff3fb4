"""What a node is told. The command line and TOML files make one of these; the simulator draws one."""

from __future__ import annotations

from attrs import field, frozen

from vdb.crypto.root import RootKeys
from vdb.limits import Limits
from vdb.projections.config import ProjectionConfig
from vdb.types import DEFAULT_ADDRESS, Region


@frozen(kw_only=True)
class NodeConfig:
    """`limits` count when the data directory is created; later the ones in the superblock hold."""

    region: Region
    root_keys: RootKeys = field(repr=False)
    name: str = "node-1"
    address: str | None = DEFAULT_ADDRESS
    """`host:port` to listen on; None: no door but the embedded one."""
    limits: Limits = field(factory=Limits)
    projections: tuple[ProjectionConfig, ...] = ()
    scrub_period_s: float = 7 * 24 * 3600.0
    """Everything at rest is read once within this time."""
    connections_max: int = 1024
