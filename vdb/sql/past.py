"""The host of sessions on a database as it was: they read, and whatever writes is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from vdb.audit.entry import AuditEntry
from vdb.errors import SqlRefused
from vdb.sql.host import Logged, OneShot
from vdb.wire.sql import PIECE_SIZE, Payload


class Past:
    """Implements `vdb.sql.host.Host`."""

    schema_epoch = 0
    piece_size = PIECE_SIZE

    def __init__(self, offset: int) -> None:
        self.applied = offset

    def new_id(self) -> bytes:
        self._refuse()

    def try_acquire(self, owner: object) -> bool:
        self._refuse()

    def is_ready(self) -> bool:
        self._refuse()

    async def acquire(self, owner: object, timeout: float) -> None:
        self._refuse()

    async def lead(self, owner: object, one_shot: OneShot, timeout: float) -> list[OneShot] | None:
        self._refuse()

    def release(self, owner: object, done: Sequence[OneShot] = (), *, schema_changed: bool = False) -> None:
        self._refuse()

    async def append(self, payloads: Sequence[Payload], note: AuditEntry | None = None) -> Logged:
        self._refuse()

    def advance(self, logged: Logged) -> None:
        self._refuse()

    async def catch_up(self, offset: int) -> None:
        self._refuse()

    def on_damage(self) -> None:
        """The copy is built anew when it is next asked for."""

    def _refuse(self) -> NoReturn:
        raise SqlRefused(f"this is the database as it was at offset {self.applied}: it can be read, and not written")
