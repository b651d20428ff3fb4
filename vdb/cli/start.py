"""`vdb start`: run a node until SIGTERM or SIGINT."""

from __future__ import annotations

import logging
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import trio

from vdb.cli.config_file import ConfigFile, read_config_file
from vdb.cli.key_options import start_keys
from vdb.cli.logs import LogFormat, set_up_logs
from vdb.cli.options import Json
from vdb.cli.output import print_json, print_text
from vdb.errors import ConfigError
from vdb.node.config import NodeConfig
from vdb.node.node import Node, first_cause
from vdb.node.replication.handing_over import hand_over
from vdb.types import Region
from vdb.world import make_world
from vdb.world.core_dumps import disable_core_dumps
from vdb.world.environment import default_address
from vdb.world.garbage import frozen_after
from vdb.world.key_providers import reloading
from vdb.world.network import TlsConfig
from vdb.world.open_files import raise_open_files_limit

_DAY_SECONDS = 24 * 3600.0


async def start(
    *,
    data_dir: Path | None = None,
    region: str | None = None,
    config: Path | None = None,
    address: str | None = None,
    key_file: Path | None = None,
    key_provider: str | None = None,
    name: str | None = None,
    join: bool = False,
    log_format: LogFormat = "text",
    json: Json = False,
) -> None:
    """Start a node; stops cleanly on SIGTERM and Ctrl-C.

    Prints one line on standard output when it serves, with its address; its log goes to standard error. The root key
    comes from --key-file, or from VDB_ROOT_KEY.

    Example: `vdb start --data-dir data --region ap-southeast-2 --key-file root.key`

    Example: `vdb start --config cluster/n0.toml`

    Parameters
    ----------
    data_dir
        Where the node keeps its data; made if it is missing.
    region
        The region that the node belongs to: PHI placed there is kept here.
    config
        A TOML file with settings; flags win over it.
    address
        host:port to listen on; port 0 takes a free one. Without it, the configuration file says, or VDB_ADDRESS, or it
        is 127.0.0.1:7140.
    key_file
        A file with the root key, of mode 0600; or one that `vdb key create --kms-key` has made.
    key_provider
        'environment', 'file' or 'aws-kms'; without it, what is given says.
    name
        The node's name.
    join
        An empty data directory is that of a node that a cluster takes in, or takes back after its disk was lost: see
        `vdb cluster add` and `vdb cluster recover`.
    log_format
        'text' or 'json'.
    json
        Print the ready line as JSON.
    """
    file = ConfigFile() if config is None else read_config_file(config)
    beside = Path() if config is None else config.parent
    place = data_dir or _path(beside, file.node.data_dir)
    if place is None:
        raise ConfigError("no data directory: expected --data-dir, or node.data-dir in the configuration file")
    wanted_region = region or file.node.region
    if wanted_region is None:
        raise ConfigError("no region: expected --region NAME, or node.region in the configuration file")
    home = Region(wanted_region)
    keys, provider = start_keys(key_provider or file.keys.provider, key_file, file, beside)
    node_config = NodeConfig(
        region=home,
        root_keys=keys,
        reload_keys=reloading(provider),
        key_period_days=file.keys.period_days,
        name=name or file.node.name or "node-1",
        address=address or file.node.address or default_address(),
        limits=file.limits_value(),
        projections=file.projections(),
        reserve_wal=file.node.reserve_wal,
        scrub_period_s=file.node.scrub_period_days * _DAY_SECONDS,
        connections_max=file.node.connections_max,
        node=file.node.number,
        members=file.member_configs(),
        cluster=file.node.cluster_id(),
        peer_address=file.node.peer_address,
        join=join or file.node.join,
        gate=file.identity.gate(),
        cosigning=file.audit.cosigning(),
        identity=file.identity.identity(beside, None if file.tls is None else beside / file.tls.ca),
    )
    tls = None
    if file.tls is not None:
        tls = TlsConfig(
            cert=beside / file.tls.cert,
            key=beside / file.tls.key,
            ca=beside / file.tls.ca,
            asks_clients=file.identity.client_certificates == "required",
        )
    logger = set_up_logs(log_format)
    raise_open_files_limit()
    disable_core_dumps()
    node = Node(make_world(place, node_config.region, tls=tls), node_config)
    try:
        await _run(node, place, logger, json)
    except BaseExceptionGroup as errors:
        raise first_cause(errors) from None
    logger.info("stopped")


async def _run(node: Node, place: Path, logger: logging.Logger, as_json: bool) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signal, node, signals, nursery.cancel_scope, logger)
            with frozen_after():
                address = await nursery.start(node.run)
            if as_json:
                print_json({"ready": True, "address": address})
            else:
                print_text(f"VerityDB is ready at {address} (region {node.config.region}, data in {place})")


async def _stop_on_signal(
    node: Node, signals: AsyncIterator[int], scope: trio.CancelScope, logger: logging.Logger
) -> None:
    async for number in signals:
        logger.info("stopping", extra={"fields": {"signal": signal.Signals(number).name}})
        await hand_over(node)
        scope.cancel()
        return


def _path(beside: Path, text: str | None) -> Path | None:
    return None if text is None else beside / text
