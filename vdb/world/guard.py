"""Guards of the real disk: errors of the system in our words, and handles that don't survive a fork.

A forked child has copies of the parent's file descriptors, but neither its loop nor its threads nor its lock. Using a
handle there would write into the parent's files behind its back: so it raises `ForkedHandle`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from vdb.errors import DiskFailed, DiskFull, FileMissing, ForkedHandle
from vdb.world.open_files import OUT_OF_FILES, out_of_files

_FULL = (errno.ENOSPC, errno.EDQUOT)

_forks = 0


def _count_fork() -> None:
    global _forks  # noqa: PLW0603  the one thing that a fork changes
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


def after_fork(work: Callable[[], None]) -> None:
    """Call this in each forked child, before anything else of it runs."""
    os.register_at_fork(after_in_child=work)


class ForkGuard:
    """Made in the process that owns the handle; `check` raises ForkedHandle in any child of it."""

    __slots__ = ("_forks",)

    def __init__(self) -> None:
        self._forks = _forks

    def check(self) -> None:
        """One comparison: cheap enough for every call."""
        if self._forks != _forks:
            raise ForkedHandle(
                "this handle was opened before a fork and belongs to the parent process: "
                "open or connect anew in the child"
            )


class DiskErrors:
    """Turns OSError inside the block into an error of `vdb.errors`; `what` says what was being done to which file."""

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, OSError):
            raise disk_error(error, self._what) from error


def disk_error(error: OSError, what: str) -> Exception:
    """The error in our words."""
    if error.errno in _FULL:
        return DiskFull(f"no space left on the disk: {what}")
    if error.errno == errno.ENOENT:
        return FileMissing(f"no such file or directory: {what}")
    if error.errno in OUT_OF_FILES:
        return out_of_files(error.errno, what)
    return DiskFailed(f"{what}: {os.strerror(error.errno or errno.EIO)}")


def disk_errors(what: str) -> DiskErrors:
    """See `DiskErrors`."""
    return DiskErrors(what)
