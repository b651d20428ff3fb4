"""Options of commands that work on a data directory themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vdb.cli.options import Json


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LocalOptions:
    """Which data directory, and how results are printed."""

    config: Path | None = None
    "The node's configuration file, with its projections."

    data_dir: Path | None = None
    "The data directory; by default the configuration file says. No node may use it."

    region: str | None = None
    "The region that it belongs to; by default the configuration file says."

    key_file: Path | None = None
    "A file with the root key, of mode 0600; without it, the configuration file says, or VDB_ROOT_KEY."

    tenant: Annotated[int, Parameter(env_var="VDB_TENANT")] = 1
    "The tenant's number."

    json: Json = False
    "Print JSON: one object, or one object a line."


LOCAL = LocalOptions()
