"""What the environment says about the node to talk to. A variable that is empty counts as unset."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from vdb.errors import ConfigError
from vdb.types import DEFAULT_ADDRESS

ADDRESS_VARIABLE = "VDB_ADDRESS"
TENANT_VARIABLE = "VDB_TENANT"
TENANT_DEFAULT = 1

_PREFIX = "VDB_"


def default_address(environ: MutableMapping[str, str] = os.environ) -> str:
    """Where a client connects that wasn't told."""
    return environ.get(ADDRESS_VARIABLE) or DEFAULT_ADDRESS


def default_tenant(environ: MutableMapping[str, str] = os.environ) -> int:
    """The tenant of a client that wasn't told. ConfigError if the variable isn't a number."""
    text = environ.get(TENANT_VARIABLE) or str(TENANT_DEFAULT)
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"{TENANT_VARIABLE}: expected a tenant's number, found {text!r}")
    return int(text)


def forget_empty_variables(environ: MutableMapping[str, str] = os.environ) -> None:
    """Unset our variables that are empty, for a program that reads them in other ways, too."""
    for name in [name for name, value in environ.items() if name.startswith(_PREFIX) and not value]:
        del environ[name]
