"""One SQL database on this node: its file, its stream, its sessions.

Rules
- `applied` is what the file holds of the stream. It moves under the lease alone: by the session that commits, or by
  whoever catches up.
- A session gets the lease on the serving primary only, and once the file has all that the log took, the pipeline
  included. It appends at exactly `applied`: should another node have become the primary meanwhile, the log refuses.
- A lease is for one view of the group: whoever waited for it across a change of views, or held it, is refused. So what
  a later primary says of a transaction that it doesn't find stays true.
- The follower applies what comes from elsewhere. It, too, waits for the lease, so it never works beside a session.
- A file that turns out damaged is set aside and built anew from the log; sessions of the old one end. One whose keys
  were destroyed, since something in it was erased, is removed instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from itertools import groupby
from typing import Any

import trio

from vdb.audit.entry import AuditEntry
from vdb.changes import NOBODY, Attribution
from vdb.errors import (
    DatabaseDamaged,
    DiskFull,
    NotReady,
    Overloaded,
    Timeout,
    TransactionEnded,
    VerityError,
    WrongExpectedOffset,
    WrongKey,
)
from vdb.kernel.command import INTERNAL, Expected, ExpectedKind
from vdb.kernel.rows import StreamState
from vdb.marks import mark
from vdb.node import log
from vdb.node.crud.bridge import LoopBridge
from vdb.node.crud.copying import copy_file
from vdb.node.crud.following import LoggedTransaction, apply_logged, changes_schema, portions, read_transactions
from vdb.node.crud.lease import Lease
from vdb.node.gate.answers import AppendResult
from vdb.node.gate.reader import GroupReader
from vdb.node.gate.service import answered
from vdb.node.gate.writes import Writes
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.node.projecting.file_keys import FileKeys
from vdb.node.signals import Progress
from vdb.ports import Connection, Database, World
from vdb.projections.generations import remove_database
from vdb.projections.running import database_path
from vdb.sql.host import Bridge, Logged, OneShot
from vdb.sql.meta import prepare_meta
from vdb.sql.names import STREAM_PREFIX
from vdb.sql.session import LOCK_TIMEOUT, SqlSession
from vdb.types import Position, StreamId, TenantId
from vdb.wire.event import encode_batch
from vdb.wire.sql import PIECE_SIZE, SQL_SCHEMA, Payload

CATCH_UP_SECONDS_MAX = 30.0
"""How long a session waits for a file that lags behind the log."""

RETRY_SECONDS, _ID_SIZE = 0.2, 16
DRAFT = ".rekeyed"
"""Ends the name of a file that is to take the place of another."""
_NO_OFFSET = 2**63


class CrudDatabase:
    """See the module's docstring. Implements `vdb.sql.host.Host`. `open`, then `run` its follower."""

    def __init__(
        self, *, tenant: TenantId, name: str, reader: GroupReader, writes: Writes, world: World, keys: FileKeys
    ) -> None:
        self.tenant = tenant
        self.name = name
        self.reader = reader
        self.stream = STREAM_PREFIX + name
        self.path = database_path(tenant, name)
        self._writes = writes
        self._world = world
        self._keys = keys
        self._lease = Lease()
        self._progress = Progress()
        self._file: Database | None = None
        self._applied = 0
        self._position = 0
        self._view = 0
        """Of the group, for which the lease was last given."""
        self._epoch = 0
        self._set_aside_before = False
        self._key = ""
        """Under which the file was made, or would be, when it was opened: its id."""
        self._damaged = False
        """Whether a session met a page that can't be read."""
        self._sessions: dict[SqlSession, Database] = {}

    # The file --------------------------------------------------------------------------------------------------

    @property
    def file(self) -> Database:
        """The open file. NotReady while there is none."""
        if self._file is None:
            raise self._without_file()
        return self._file

    def _without_file(self) -> NotReady:
        return NotReady(f"the file of database {self.name!r} is closed, or built anew: try again")

    async def open(self) -> None:
        """Open or make the file, and apply what the log has committed by now."""
        await self._open_file()
        await self._lease.acquire(self, float("inf"))
        try:
            try:
                await self._catch_up()
            except DatabaseDamaged as damage:
                await self._make_room(damage)
                await self._open_file()
                await self._catch_up()
        finally:
            self._lease.release(self)

    async def close(self) -> None:
        """Close the file; sessions that are left end."""
        file, self._file = self._file, None
        if file is not None:
            await file.close()

    async def _open_file(self) -> None:
        await self._world.disk.make_directory(self.path.rpartition("/")[0])
        key = await self._keys.key_for(self.tenant, self.name)
        self._key = self._keys.id_of(self.tenant, self.name)
        erased = self._keys.was_erased(self.tenant, self.name)
        while self._file is None:
            try:
                await self._open_once(key)
            except WrongKey as error:
                if erased:
                    erased = False
                    await self._remove()
                else:
                    await self._set_aside(DatabaseDamaged(str(error)))
            except DatabaseDamaged as damage:
                await self._set_aside(damage)

    async def _open_once(self, key: bytes) -> None:
        file = await self._world.disk.open_database(self.path, key)
        group, stream = self.reader.group.name, self._stream_state().stream
        try:
            place = await file.run(lambda db: prepare_meta(db, database=self.name, group=group, stream=stream))
        except BaseException:
            with trio.CancelScope(shield=True):
                await file.close()
            raise
        self._file, self._applied, self._position = file, place.next_offset, place.position
        self._damaged = False

    async def _make_room(self, damage: DatabaseDamaged) -> None:
        """For a file that is built anew: this one isn't what the log made."""
        if self._keys.is_destroyed(self._key):
            # What was erased isn't in the log any more, and is in the file: rows that came since may be in its place.
            mark("sql.erased_in_the_way")
            await self._remove()
        else:
            await self._set_aside(damage)

    async def _remove(self) -> None:
        """The file and what is left of others: something in them was erased."""
        await self.close()
        await remove_database(self._world.disk, self.path)
        await remove_database(self._world.disk, f"{self.path}{DRAFT}")
        self._epoch += 1

    async def _set_aside(self, damage: DatabaseDamaged) -> None:
        if self._set_aside_before:
            raise damage
        self._set_aside_before = True
        mark("sql.set_aside")
        log.warning("sql.set_aside", database=log.sign(self.name), reason=log.reason(damage))
        await self.close()
        await self._world.disk.set_database_aside(self.path)
        self._epoch += 1

    async def renew(self) -> None:
        """Something was erased, and what the file says of it must go: build it anew from the log, under the key that it
        has now, and remove the old one. Sessions of the old one end."""
        await self._lease.acquire(self, float("inf"))
        try:
            mark("sql.renewed")
            await self._remove()
            await self._open_file()
            await self._catch_up()
        finally:
            self._lease.release(self)

    async def rekey(self) -> None:
        """Copy the file into one under the key that it has now, and use that: it is read meanwhile, writers wait.

        Sessions of the old file end. A crash leaves the old file, or none, and then it is built anew.
        """
        disk, draft = self._world.disk, f"{self.path}{DRAFT}"
        await self._lease.acquire(self, float("inf"))
        try:
            mark("sql.rekeyed")
            await remove_database(disk, draft)
            target = await disk.open_database(draft, await self._keys.key_for(self.tenant, self.name))
            try:
                await copy_file(self.file, target, self._applied)
            finally:
                await target.close()
            await self.close()
            await remove_database(disk, self.path)
            await disk.rename(draft, self.path)
            await disk.sync_directory(self.path.rpartition("/")[0])
            self._epoch += 1
            await self._open_file()
            await self._catch_up()
        finally:
            self._lease.release(self)

    def _stream_state(self) -> StreamState:
        state = self.reader.find(self.tenant, self.stream)
        assert state is not None, "the stream of a database is there before the database is opened"
        return state

    # Sessions --------------------------------------------------------------------------------------------------

    async def session(
        self,
        *,
        bridge: Bridge | None = None,
        attribution: Attribution = NOBODY,
        lock_timeout: float = LOCK_TIMEOUT,
        **options: Any,
    ) -> SqlSession:
        """A new session with a connection of its own; `options` are the connection's. End it with `end`. NotReady."""
        file = self.file
        try:
            db: Connection = await file.connect(**options)
        except trio.ClosedResourceError:
            raise self._without_file() from None
        if self._file is not file:
            await file.disconnect(db)
            raise self._without_file()
        session = SqlSession(db, self, bridge or LoopBridge(file), attribution=attribution, lock_timeout=lock_timeout)
        self._sessions[session] = file
        return session

    async def end(self, session: SqlSession) -> None:
        """Roll back what is open, and close the connection."""
        file = self._sessions.pop(session, None)
        if file is None:
            return
        try:
            if self._file is file:
                await session.close()
        finally:
            if self._lease.holder is session:  # it was interrupted while it was given the lease
                mark("sql.lease_left")
                self._lease.release(session)
            await file.disconnect(session.db)

    @property
    def stream_id(self) -> StreamId:
        """The number of the database's stream."""
        return self._stream_state().stream

    @property
    def logged_offset(self) -> int:
        """Where the stream ends, as far as this node knows what is committed."""
        return self._stream_state().next_offset

    async def wait_fresh(self) -> None:
        """Wait until the file has all that was acknowledged before this call. NotPrimary if nobody can tell."""
        await self.reader.group.confirm()
        await self.catch_up(self._stream_state().next_offset)

    # Host ------------------------------------------------------------------------------------------------------

    @property
    def applied(self) -> int:
        return self._applied

    @property
    def position(self) -> Position:
        """What the file has applied up to."""
        return Position(self.reader.group.name, self._position)

    @property
    def schema_epoch(self) -> int:
        return self._epoch

    def new_id(self) -> bytes:
        return self._world.entropy.random_bytes(_ID_SIZE)

    @property
    def piece_size(self) -> int:
        return min(PIECE_SIZE, self.reader.group.limits.message_size_max // 4)

    def try_acquire(self, owner: object) -> bool:
        return self._lease.try_acquire(owner)

    def is_ready(self) -> bool:
        group = self.reader.group
        if not group.is_serving:
            return False
        view = self.view
        prepared = group.prepared.stream(self.tenant, self._stream_state().stream)
        if prepared is None or prepared.next_offset != self._applied:
            return False
        self._view = view
        return True

    async def acquire(self, owner: object, timeout: float) -> None:
        view = self.view
        await self._lease.acquire(owner, timeout)
        try:
            await self._make_ready(timeout, view)
        except BaseException:
            self._lease.release(owner)
            raise

    async def lead(self, owner: object, one_shot: OneShot, timeout: float) -> list[OneShot] | None:
        one_shot.view = self.view
        others = await self._lease.lead(owner, one_shot, timeout)
        if others is None:
            return None
        try:
            await self._make_ready(timeout, one_shot.view)
        except BaseException as error:
            for other in others:
                other.outcome = error if isinstance(error, VerityError) else TransactionEnded("its leader went away")
            self._lease.release(owner, others)
            raise
        late = [other for other in others if other.view != one_shot.view]
        for other in late:
            other.outcome = self._of_another_view()
        self._lease.answer(late)
        return [other for other in others if other not in late]

    def release(self, owner: object, done: Sequence[OneShot] = (), *, schema_changed: bool = False) -> None:
        if schema_changed:
            self._epoch += 1
        self._lease.release(owner, done)

    async def append(self, payloads: Sequence[Payload], note: AuditEntry | None = None) -> Logged:
        if self.view != self._view:
            mark("sql.view_changed")
            raise TransactionEnded(
                f"group {self.reader.group.name} changed its primary: nothing of the transaction was kept, run it again"
            )
        first = self._applied
        runs = tuple(
            PlainRun(
                subject=subject,
                count=len(batch),
                batch=encode_batch([payload.data for payload in batch]),
                schema_id=SQL_SCHEMA,
            )
            for subject, batch in ((subject, list(some)) for subject, some in groupby(payloads, lambda p: p.subject))
        )
        append = PlainAppend(stream=self.stream, expected=Expected(ExpectedKind.EXACT, first), runs=runs)
        try:
            result: AppendResult = await answered(
                lambda on_answer: self._writes.append(
                    INTERNAL, self.tenant, (append,), on_answer, of_sql=True, note=note
                )
            )
        except WrongExpectedOffset:
            mark("sql.moved_on")
            raise TransactionEnded(
                f"database {self.name!r} was written by another node meanwhile: nothing of the transaction was kept, "
                "run it again"
            ) from None
        (written,) = result.streams
        return Logged(
            first_offset=written.first_offset,
            next_offset=written.next_offset,
            position=result.position,
            time=result.time,
        )

    async def pass_queue(self) -> None:
        """Return once all that waited to be proposed has been: by a request behind it, which the log refuses."""
        run = PlainRun(count=1, batch=encode_batch([b""]), schema_id=SQL_SCHEMA)
        nowhere = PlainAppend(stream=self.stream, expected=Expected(ExpectedKind.EXACT, _NO_OFFSET), runs=(run,))
        try:
            taken: AppendResult = await answered(
                lambda on_answer: self._writes.append(INTERNAL, self.tenant, (nowhere,), on_answer, of_sql=True)
            )
        except WrongExpectedOffset:
            return
        raise AssertionError(f"no stream gets so long: {taken.streams}")

    def advance(self, logged: Logged) -> None:
        self._applied, self._position = logged.next_offset, logged.position.number
        self._progress.tell()

    def on_damage(self) -> None:
        mark("sql.damage_met")
        self._damaged = True
        self.reader.group.signals.notify(self.tenant)

    async def catch_up(self, offset: int) -> None:
        with trio.move_on_after(CATCH_UP_SECONDS_MAX):
            await self._progress.wait_until(lambda: self._applied >= offset)
            return
        raise Timeout(
            f"database {self.name!r} has applied its log up to {self._applied} of {offset}, and couldn't take more "
            f"within {CATCH_UP_SECONDS_MAX:g} s"
        )

    # The log ---------------------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the log until cancelled."""
        task_status.started()
        while True:
            appended = self.reader.group.signals.next(self.tenant)
            if self._applied >= self._stream_state().next_offset and not self._damaged:
                await appended.wait()
            elif self._lease.holder is not None:
                await self._lease.wait_given_back()  # its session may be the one that wrote this
            else:
                await self._follow()

    async def _follow(self) -> None:
        await self._lease.acquire(self, float("inf"))
        try:
            if self._damaged:
                raise DatabaseDamaged(f"{self.path}: a session met a page that can't be read")
            await self._catch_up()
        except (DiskFull, Overloaded) as error:
            mark("sql.follower_held_up")
            log.warning("sql.follower_held_up", database=log.sign(self.name), reason=log.reason(error))
            await trio.sleep(RETRY_SECONDS)
        except DatabaseDamaged as damage:
            await self._make_room(damage)
            await self._open_file()
        finally:
            self._lease.release(self)

    @property
    def view(self) -> int:
        """The view of the group, which changes with its primary."""
        return self.reader.group.replica.view

    def _of_another_view(self) -> NotReady:
        return NotReady(
            f"group {self.reader.group.name} changed its primary while the statement waited: nothing was done, try "
            "again"
        )

    async def _make_ready(self, timeout: float, view: int) -> None:
        """Under the lease: this node is the primary of this view, and the file has all that its log took."""
        with trio.move_on_after(max(timeout, 1.0)):
            while True:
                group = self.reader.group
                refusal = group.not_serving()
                if refusal is not None:
                    raise refusal
                if self.view != view:
                    mark("sql.waited_across_views")
                    raise self._of_another_view()
                prepared = group.prepared.stream(self.tenant, self._stream_state().stream)
                assert prepared is not None, "what is committed is prepared"
                if prepared.next_offset == self._applied:
                    self._view = view
                    return
                mark("sql.behind")
                wanted = prepared.next_offset
                await group.wait_until(partial(self._has_committed, wanted))
                await self._catch_up()
        raise TransactionEnded(f"database {self.name!r}: its log hasn't settled within {max(timeout, 1.0):g} s")

    def _has_committed(self, offset: int) -> bool:
        return self._stream_state().next_offset >= offset

    async def _catch_up(self) -> None:
        """Under the lease: apply what is committed."""
        end = self._stream_state().next_offset
        if self._applied >= end:
            return
        async with aclosing(read_transactions(self.reader, self.tenant, self.stream, self._applied, end)) as logged:
            async for found in logged:
                for portion in portions(found):
                    await self.file.run(partial(_apply, portion))
                    if changes_schema(portion):
                        self._epoch += 1
                    self._applied, self._position = portion[-1].next_offset, portion[-1].position
                    self._progress.tell()


def _apply(portion: Sequence[LoggedTransaction], db: Connection) -> None:
    apply_logged(db, portion)
