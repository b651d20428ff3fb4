"""The Cap'n Proto schemas, loaded once. The only module that imports `capnp`.

The files lie in `schemas/` of the checkout, and in `vdb/schemas/` of an installed wheel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import capnp


def _folder() -> Path:
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "schemas", package.parent / "schemas"):
        if (folder / "verity.capnp").is_file():
            return folder
    raise FileNotFoundError(f"the Cap'n Proto schemas are missing beside {package}")


FOLDER = _folder()
CAPNP_FOLDER = Path(capnp.__file__).resolve().parent


def load(name: str) -> Any:
    """The module of the schema file `name`.capnp."""
    return capnp.load(str(FOLDER / f"{name}.capnp"))


def struct_module(schema: Any, name: str) -> Any:
    """A module (`new_message`, `from_segments`) for a struct that has only a schema, such as a method's parameters."""
    return type(rpc.Message)(schema, name)


command = load("command")
event = load("event")
peer = load("peer")
snapshot = load("snapshot")
sql = load("sql")
verity = load("verity")
rpc = capnp.load(str(CAPNP_FOLDER / "rpc.capnp"), imports=[str(CAPNP_FOLDER.parent)])

CapnpError = capnp.KjException
