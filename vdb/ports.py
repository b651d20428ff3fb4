"""The ports: all that a node may know of the outside. Everything below `vdb.node` is written against them.

A node gets one `World` and never reaches around it. The real one is `vdb.world`; the simulated one is
`sim.world`. Both pass the same contract tests (`tests/contract`). Timers are trio's own sleeps and deadlines.

Rules for every implementation
- Errors are those of `vdb.errors`: DiskFull (ENOSPC), DiskFailed (EIO, a failed fsync), FileMissing, TooManyOpenFiles
  (EMFILE, ENFILE), ConnectionLost.
- A path is relative to the data directory, with '/' between its parts and no '..'.
- A method that is `async` is a checkpoint: it may suspend, and the simulator may crash the node there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import trio
from attrs import frozen

from vdb.types import Region

Buffer = bytes | bytearray | memoryview
T = TypeVar("T")


class File(Protocol):
    """An open file of a `Disk`. Offsets and sizes are bytes. Calls on one file may overlap."""

    async def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the file. A fresh buffer that is never reused."""

    async def write_at(self, offset: int, data: Buffer) -> None:
        """Write all of `data`; extends the file (with zeros in a gap). Not durable before `sync` returns."""

    async def sync(self) -> None:
        """Make every write that returned before this call durable (fdatasync). A failure is final: DiskFailed."""

    async def drop_cache(self) -> None:
        """Forget what the system has cached of this file and believes to be written: reads ask the medium again.

        After a sync that failed in an earlier life of this process, cached pages may be all that there is of what
        they say, marked as written. Whoever trusts what it reads at a start calls `sync` and this first.
        """

    async def truncate(self, size: int) -> None:
        """Cut the file, or extend it with zeros. Durable after `sync`."""

    async def allocate(self, size: int) -> None:
        """Make the file at least `size` bytes long and, where the system can, reserve its blocks."""

    async def size(self) -> int:
        """The file's length."""

    async def close(self) -> None:
        """Close; doesn't sync. Closing twice is harmless."""


class Cursor(Protocol):
    """What `Connection.execute` returns: the part of a DB-API cursor that VerityDB uses."""

    @property
    def description(self) -> Any: ...
    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> tuple[Any, ...] | None: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...


class Connection(Protocol):
    """An SQLCipher connection in manual transaction mode (isolation_level None)."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Any: ...
    def executemany(self, sql: str, parameters: Any, /) -> Any: ...


class Database(Protocol):
    """One encrypted SQLite file with one writer. The simulator may crash the node before and after each `run`."""

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Call `work` with the writer connection, one call at a time, off the loop's thread in production.

        `work` is synchronous, may be entered at most once, and must leave no transaction open.
        """

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Call `work` with a read-only connection that sees the last committed state; doesn't wait for the writer."""

    async def connect(self, **options: Any) -> Connection:
        """One more connection to the file, which may write: for a session of its own, until `disconnect`.

        `options` are `vdb.projections.store.open_sqlcipher`'s. SQLite's own locks stand between the connections, and
        nobody waits for them: whoever writes has agreed with the others before.
        """

    async def work(self, work: Callable[[], T]) -> T:
        """Call `work`, which uses connections of `connect`, off the loop's thread in production.

        Calls may overlap. Transactions may stay open from one call to the next.
        """

    async def disconnect(self, connection: Connection) -> None:
        """Close a connection of `connect`; a transaction that is open is rolled back. Closing twice is harmless."""

    async def close(self) -> None:
        """Close, with all connections, once the calls under way have ended; those that wait get
        trio.ClosedResourceError."""


class Disk(Protocol):
    """The node's data directory."""

    async def open(self, path: str, *, create: bool = False) -> File:
        """Open for reading and writing. Without `create` a missing file is FileMissing; with it, it is made if missing.

        A created file survives a crash only after `sync_directory` of its directory.
        """

    async def exists(self, path: str) -> bool: ...

    async def list(self, directory: str) -> list[str]:
        """The names in a directory, sorted; empty for one that doesn't exist. '' is the data directory itself."""

    async def make_directory(self, path: str) -> None:
        """Make a directory and its parents, durably. Existing ones are fine."""

    async def rename(self, old: str, new: str) -> None:
        """Rename within the disk, replacing `new`. Durable after `sync_directory` (of both directories)."""

    async def remove(self, path: str) -> None:
        """Remove a file; FileMissing if there is none. Durable after `sync_directory`."""

    async def sync_directory(self, path: str) -> None: ...

    async def lock(self) -> None:
        """Take the exclusive lock on the data directory; DataDirectoryInUse if another process holds it."""

    async def open_database(self, path: str, key: bytes) -> Database:
        """Open or create the SQLCipher file at `path` under a raw 32-byte key.

        WrongKey when the key doesn't fit, which a file with a damaged head can't be told from. DatabaseDamaged, here
        or from `run` and `read`, when SQLite finds that the file isn't what it wrote.
        """

    async def set_database_aside(self, path: str) -> None:
        """Rename a closed database to `<path>.damaged`, durably, replacing an older one; then `path` is free.

        What it had outside of its main file is dropped. FileMissing if there is none.
        """

    async def close(self) -> None:
        """Release the lock and all that is open."""


@frozen(kw_only=True)
class PeerCertificate:
    """What the other side's certificate says, which was verified."""

    serial: str
    """Lower-case hex, as the authority gave it."""
    not_after: int
    """Microseconds UTC."""
    common_name: str = ""
    uris: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()


@frozen(kw_only=True)
class Peer:
    """The other side of a stream."""

    address: str
    """Where it connects from; empty where that isn't known."""
    secured: bool
    """By TLS."""
    certificate: PeerCertificate | None = None


class Source(Protocol):
    """Settings that may change while a node runs, such as a file."""

    def read(self) -> bytes:
        """What it says now. ConfigError if it can't be read."""


class Network(Protocol):
    """Byte streams. An address is `host:port`; port 0 listens on a free one."""

    async def listen(self, address: str) -> Listener:
        """Raises AddressInUse, and NotLoopback when off loopback without TLS."""

    async def connect(self, address: str) -> trio.abc.Stream:
        """Raises ConnectionLost when nobody answers. Stream errors are trio's (BrokenResourceError and its kin)."""

    def peer_names(self, stream: trio.abc.Stream) -> tuple[str, ...] | None:
        """The DNS names in the other side's certificate, which was verified; None for a stream without TLS.

        `stream` came from `connect`, or from `accept` and has received something since.
        """

    async def peer(self, stream: trio.abc.Stream) -> Peer:
        """Who is at the other side of an accepted stream: its handshake is finished first. ConnectionLost if it
        fails."""


class Listener(Protocol):
    @property
    def address(self) -> str:
        """The address that clients use, with the real port."""

    async def accept(self) -> trio.abc.Stream:
        """The next connection. OSError (EMFILE and its like) while the system has none to give: try again."""

    async def aclose(self) -> None: ...


class Clock(Protocol):
    def monotonic_ns(self) -> int:
        """Nanoseconds since some start; never goes back."""

    def wall_us(self) -> int:
        """Microseconds since 1970 UTC; may jump."""


class Entropy(Protocol):
    def random_bytes(self, size: int) -> bytes:
        """Bytes fit for keys (in production)."""

    def below(self, bound: int) -> int:
        """A uniform number from 0 to bound - 1."""


@frozen
class World:
    network: Network
    disk: Disk
    clock: Clock
    entropy: Entropy
    region: Region
