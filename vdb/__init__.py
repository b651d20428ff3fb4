"""VerityDB: a replicated, encrypted, tamper-evident event log for clinics, with rows built from it.

    with vdb.open("data", keys="root.key") as database:          # a node in this process
        database.create_stream("notes")
        database.publish("notes", b"hello", subject="patient-7")

    async with vdb.connect("127.0.0.1:7140") as client:           # a node that `vdb start` runs
        ...

Names are loaded when they are first used: importing `vdb.types` loads neither Cap'n Proto nor SQLCipher.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vdb.version import VERSION

if TYPE_CHECKING:
    from vdb.client.client import Client
    from vdb.client.connect import SyncClient, connect, connect_sync
    from vdb.client.consumer import Consumer
    from vdb.client.delivery import DeadLetter, Delivery
    from vdb.client.member import Member
    from vdb.client.stream_events import StreamEvents
    from vdb.client.values import (
        Event,
        EventRun,
        NodeStatus,
        Published,
        Rows,
        StreamAppend,
        StreamInfo,
    )
    from vdb.consumers import ConsumerInfo
    from vdb.crypto.root import RootKeys
    from vdb.dbapi.database import SqlDatabase, open_crud
    from vdb.embedded.database import EmbeddedDatabase, open
    from vdb.errors import DefiniteError, DeliveryLate, IndefiniteError, VerityError
    from vdb.events import NewEvent, RecordedEvent, applies, context, event, upcast
    from vdb.kernel.command import ANY, EMPTY, EXISTS, Expected
    from vdb.limits import Limits
    from vdb.types import Consistency, DataClass, Durability, GroupId, Placement, Position, Region
    from vdb.world.network import TlsConfig

__version__ = VERSION

__all__ = [
    "ANY",
    "EMPTY",
    "EXISTS",
    "Client",
    "Consistency",
    "Consumer",
    "ConsumerInfo",
    "DataClass",
    "DeadLetter",
    "DefiniteError",
    "Delivery",
    "DeliveryLate",
    "Durability",
    "EmbeddedDatabase",
    "Event",
    "EventRun",
    "Expected",
    "GroupId",
    "IndefiniteError",
    "Limits",
    "Member",
    "NewEvent",
    "NodeStatus",
    "Placement",
    "Position",
    "Published",
    "RecordedEvent",
    "Region",
    "RootKeys",
    "Rows",
    "SqlDatabase",
    "StreamAppend",
    "StreamEvents",
    "StreamInfo",
    "SyncClient",
    "TlsConfig",
    "VerityError",
    "__version__",
    "applies",
    "connect",
    "connect_sync",
    "context",
    "event",
    "open",
    "open_crud",
    "upcast",
]

_HOMES = {
    "vdb.client.client": ("Client",),
    "vdb.client.connect": ("SyncClient", "connect", "connect_sync"),
    "vdb.client.consumer": ("Consumer",),
    "vdb.client.delivery": ("DeadLetter", "Delivery"),
    "vdb.client.member": ("Member",),
    "vdb.client.stream_events": ("StreamEvents",),
    "vdb.client.values": (
        "Event",
        "EventRun",
        "NodeStatus",
        "Published",
        "Rows",
        "StreamAppend",
        "StreamInfo",
    ),
    "vdb.consumers": ("ConsumerInfo",),
    "vdb.crypto.root": ("RootKeys",),
    "vdb.dbapi.database": ("SqlDatabase", "open_crud"),
    "vdb.embedded.database": ("EmbeddedDatabase", "open"),
    "vdb.errors": ("DefiniteError", "DeliveryLate", "IndefiniteError", "VerityError"),
    "vdb.events": ("NewEvent", "RecordedEvent", "applies", "context", "event", "upcast"),
    "vdb.kernel.command": ("ANY", "EMPTY", "EXISTS", "Expected"),
    "vdb.limits": ("Limits",),
    "vdb.types": ("Consistency", "DataClass", "Durability", "GroupId", "Placement", "Position", "Region"),
    "vdb.world.network": ("TlsConfig",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'vdb' has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
