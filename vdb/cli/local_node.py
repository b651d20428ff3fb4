"""A node in the command's own process, without an address: for work on a data directory that no node uses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from vdb.cli.config_file import ConfigFile, read_config_file
from vdb.cli.key_options import start_keys
from vdb.cli.local_options import LocalOptions
from vdb.errors import ConfigError, DataDirectoryInUse
from vdb.node.config import NodeConfig
from vdb.node.node import Node, first_cause
from vdb.projections.config import ProjectionConfig
from vdb.types import Region
from vdb.world import make_world
from vdb.world.open_files import raise_open_files_limit


@asynccontextmanager
async def local_node(options: LocalOptions) -> AsyncIterator[tuple[Node, tuple[ProjectionConfig, ...]]]:
    """A node that runs, and its projections. Raises StartError's kin, one error and no group."""
    file = ConfigFile() if options.config is None else read_config_file(options.config)
    beside = Path() if options.config is None else options.config.parent
    if file.members:
        raise ConfigError(
            "this is the configuration of a cluster's node: its projections run when it does, see "
            "`vdb projection status` and `vdb projection rebuild`"
        )
    place = options.data_dir or _path(beside, file.node.data_dir)
    if place is None:
        raise ConfigError("no data directory: expected --data-dir, or node.data-dir in the configuration file")
    if not place.is_dir():
        raise ConfigError(f"there is no data directory {place}")
    region = options.region or file.node.region
    if region is None:
        raise ConfigError("no region: expected --region NAME, or node.region in the configuration file")
    projections = file.projections()
    config = NodeConfig(
        region=Region(region),
        root_keys=start_keys(file.keys.provider, options.key_file, file, beside)[0],
        name=file.node.name or "node-1",
        address=None,
        limits=file.limits_value(),
        projections=projections,
        node=file.node.number,
    )
    raise_open_files_limit()
    node = Node(make_world(place, config.region), config)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            yield node, projections
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        cause = first_cause(errors)
        if isinstance(cause, DataDirectoryInUse):
            raise DataDirectoryInUse(
                f"{cause}: a node that runs has its projections run; see `vdb projection status` and "
                "`vdb projection rebuild`"
            ) from None
        raise cause from None


def _path(beside: Path, text: str | None) -> Path | None:
    return None if text is None else beside / text
