"""`vdb projection init|run|replay`: projections of a configuration file, and of a data directory that no node uses.

What they do is in `projection_work`, which is loaded when one of them runs: it brings a whole node.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vdb.cli.local_options import LOCAL, LocalOptions
from vdb.cli.options import Json


def init(*, config: Path, json: Json = False) -> None:
    """Write a configuration file with an example, or check the one that is there and list its projections.

    Example: `vdb projection init --config node.toml`

    Parameters
    ----------
    config
        The file.
    json
        Print JSON: one object for each projection.
    """
    from vdb.cli.projection_work import init_file

    init_file(config, as_json=json)


async def run(*, options: LocalOptions = LOCAL) -> int:
    """Run the projections of a data directory that no node uses, until they have caught up with its log.

    A raised version is built and then used. Interrupted, they go on where they were when they run again.

    Example: `vdb projection run --config node.toml`
    """
    from vdb.cli.projection_work import run_to_end

    return await run_to_end(options)


async def replay(
    *,
    projection: str,
    from_: Annotated[str, Parameter(name="--from")] = "",
    twice: bool = False,
    limit: int = 20,
    options: LocalOptions = LOCAL,
) -> int:
    """Apply the log to rows that nobody is served, and say what comes out. Nothing has effects, no row in use changes.

    From the beginning, the rows are compared with those in use: handlers that depend on something else than the events
    show there, or with --twice. The data directory must not be in use.

    Example: `vdb projection replay --config node.toml --projection beds --twice`

    Example: `vdb projection replay --config node.toml --projection beds --from 2026-03-01T12:00:00Z`

    Parameters
    ----------
    projection
        The projection's name.
    from_
        Where to begin: a position GROUP:NUMBER, or a time. Without it, with the first event.
    twice
        Do it twice, and compare what comes out.
    limit
        Differences that are told, at most, with --json.
    """
    from vdb.cli.projection_work import replay_log

    return await replay_log(options, projection, from_, twice=twice, limit=limit)
