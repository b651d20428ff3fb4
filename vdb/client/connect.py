"""`vdb.connect` and `vdb.connect_sync`: clients over TCP, with mutual TLS where it is configured."""

from __future__ import annotations

import os
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, TypeVar

import anyio
from anyio.abc import ByteStream
from anyio.from_thread import BlockingPortal, start_blocking_portal

from vdb.client.client import Client
from vdb.client.connection import Connector
from vdb.client.sync_face import SyncFace
from vdb.errors import ConnectionLost, InvalidArgument
from vdb.world.entropy import RealEntropy
