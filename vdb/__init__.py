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
    from vdb.client.projection_line import ParkedEvent, RowDifference, RowDifferences
    from vdb.client.stream_events import StreamEvents
    from vdb.client.values import Event, EventRun, Published, Rows, StreamAppend, StreamInfo
    from vdb.consumers import ConsumerInfo
    from vdb.crypto.root import RootKeys
    from vdb.dbapi.database import SqlDatabase, open_crud
    from vdb.embedded.database import EmbeddedDatabase, open
    from vdb.errors import AccessDenied, DefiniteError, DeliveryLate, IndefiniteError, VerityError
    from vdb.events import (
        DeadLettersDropped,
        DeadLettersReplayed,
        Erased,
        NewEvent,
        RecordedEvent,
        applies,
        context,
        event,
        upcast,
    )
    from vdb.kernel.command import ANY, EMPTY, EXISTS, Expected
    from vdb.limits import Limits
    from vdb.projections.config import ErrorPolicy, ProjectionConfig
    from vdb.projections.declared import TableProjection
    from vdb.projections.effects import Batch
    from vdb.projections.handler import Context
    from vdb.projections.latest import LatestById
    from vdb.projections.projection import Projection, ProjectionHandler, after_commit, handles
    from vdb.projections.tables import Column, ColumnType, Table
    from vdb.projections.timeline import Entry, Timeline
    from vdb.status import NodeStatus, ProjectionStatus
    from vdb.types import Consistency, DataClass, Durability, GroupId, Placement, Position, Region
    from vdb.world.network import TlsConfig

__version__ = VERSION

__all__ = [
    "ANY",
    "EMPTY",
    "EXISTS",
    "AccessDenied",
    "Batch",
    "Client",
    "Column",
    "ColumnType",
    "Consistency",
    "Consumer",
    "ConsumerInfo",
    "Context",
    "DataClass",
    "DeadLetter",
    "DeadLettersDropped",
    "DeadLettersReplayed",
    "DefiniteError",
    "Delivery",
    "DeliveryLate",
    "Durability",
    "EmbeddedDatabase",
    "Entry",
    "Erased",
    "ErrorPolicy",
    "Event",
    "EventRun",
    "Expected",
    "GroupId",
    "IndefiniteError",
    "LatestById",
    "Limits",
    "Member",
    "NewEvent",
    "NodeStatus",
    "ParkedEvent",
    "Placement",
    "Position",
    "Projection",
    "ProjectionConfig",
    "ProjectionHandler",
    "ProjectionStatus",
    "Published",
    "RecordedEvent",
    "Region",
    "RootKeys",
    "RowDifference",
    "RowDifferences",
    "Rows",
    "SqlDatabase",
    "StreamAppend",
    "StreamEvents",
    "StreamInfo",
    "SyncClient",
    "Table",
    "TableProjection",
    "Timeline",
    "TlsConfig",
    "VerityError",
    "__version__",
    "after_commit",
    "applies",
    "connect",
    "connect_sync",
    "context",
    "event",
    "handles",
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
    "vdb.client.projection_line": ("ParkedEvent", "RowDifference", "RowDifferences"),
    "vdb.client.stream_events": ("StreamEvents",),
    "vdb.client.values": ("Event", "EventRun", "Published", "Rows", "StreamAppend", "StreamInfo"),
    "vdb.consumers": ("ConsumerInfo",),
    "vdb.crypto.root": ("RootKeys",),
    "vdb.dbapi.database": ("SqlDatabase", "open_crud"),
    "vdb.embedded.database": ("EmbeddedDatabase", "open"),
    "vdb.errors": ("AccessDenied", "DefiniteError", "DeliveryLate", "IndefiniteError", "VerityError"),
    "vdb.events": (
        "DeadLettersDropped",
        "DeadLettersReplayed",
        "Erased",
        "NewEvent",
        "RecordedEvent",
        "applies",
        "context",
        "event",
        "upcast",
    ),
    "vdb.kernel.command": ("ANY", "EMPTY", "EXISTS", "Expected"),
    "vdb.limits": ("Limits",),
    "vdb.projections.config": (
        "ErrorPolicy",
        "ProjectionConfig",
    ),
    "vdb.projections.declared": ("TableProjection",),
    "vdb.projections.effects": ("Batch",),
    "vdb.projections.handler": ("Context",),
    "vdb.projections.latest": ("LatestById",),
    "vdb.projections.projection": (
        "Projection",
        "ProjectionHandler",
        "after_commit",
        "handles",
    ),
    "vdb.projections.tables": (
        "Column",
        "ColumnType",
        "Table",
    ),
    "vdb.projections.timeline": (
        "Entry",
        "Timeline",
    ),
    "vdb.status": ("NodeStatus", "ProjectionStatus"),
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
