"""The exclusive lock on a data directory: an fcntl lock on its file `LOCK`, which says who holds it.

fcntl locks belong to a process: a second opener in the same process would get one as well, and closing any descriptor
of the file would drop it. So a table in this process is asked first, and the file is opened by nobody else in it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from vdb.errors import DataDirectoryInUse, StartError

LOCK_NAME = "LOCK"
HOLDER_BYTES_MAX = 512
_HELD = (errno.EACCES, errno.EAGAIN)

_held_here: dict[str, None] = {}
os.register_at_fork(after_in_child=_held_here.clear)  # a child doesn't inherit its parent's locks


class DirectoryLock:
    """The lock on one data directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._name = str(directory.resolve())
        self._descriptor: int | None = None

    def take(self) -> None:
        """Take the lock; nothing if this object holds it.

        DataDirectoryInUse if anyone else does; StartError with the system's reason if there is no locking here.
        """
        if self._descriptor is not None:
            return
        if self._name in _held_here:
            raise DataDirectoryInUse(self._message(f"process {os.getpid()} (this one)", ""))
        descriptor = os.open(self._directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _HELD:
                os.close(descriptor)
                raise StartError(
                    f"the data directory {self._directory} can't be locked ({os.strerror(error.errno or errno.EIO)}): "
                    "a node needs a file system with fcntl locks"
                ) from error
            holder = os.pread(descriptor, HOLDER_BYTES_MAX, 0).decode(errors="replace").split("\n")
            os.close(descriptor)
            raise DataDirectoryInUse(self._message(f"process {holder[0]}", holder[1] if holder[1:] else "")) from None
        self._descriptor = descriptor
        _held_here[self._name] = None
        self.describe("")

    def describe(self, address: str) -> None:
        """Write who holds the lock, and where it can be reached, for the message that others get."""
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n{address}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back; nothing if it isn't held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            del _held_here[self._name]

    def _message(self, holder: str, address: str) -> str:
        at = f" at {address}" if address else ""
        return (
            f"the data directory {self._directory} is in use by {holder}: `vdb start` is running there{at}; "
            "connect to it instead, stop it first, or name another directory"
        )
