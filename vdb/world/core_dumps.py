"""No core dumps: the memory of a node holds keys and payloads in clear, and a crash must not write them to a disk."""

from __future__ import annotations

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def disable_core_dumps() -> None:
    """For this process and those that it starts: no core file and, on Linux, none for a handler of the system either.

    Processes of the same user can't attach to it then, and read its memory.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
