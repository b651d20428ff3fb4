"""The limits on open files: of this process (RLIMIT_NOFILE, EMFILE) and of the system (ENFILE).

A node has some files open for each group and up to a dozen for each projection of each tenant, so the soft limit that a
shell gives (often 1024) is soon too low, while the hard one seldom is.
"""

from __future__ import annotations

import errno
import resource

from vdb.errors import TooManyOpenFiles

OUT_OF_FILES = (errno.EMFILE, errno.ENFILE)


def raise_open_files_limit() -> int:
    """Raise this process's soft limit to the hard one, as far as the system allows; the limit that holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # some systems refuse what they call their hard limit
            return soft
    return hard


def out_of_files(number: int, what: str) -> TooManyOpenFiles:
    """What EMFILE or ENFILE means while doing `what`."""
    if number == errno.ENFILE:
        return TooManyOpenFiles(f"{what}: the system has no file left to open (its limit is fs.file-max): raise that")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return TooManyOpenFiles(
        f"{what}: this process has reached its limit of {soft} open files (at most {hard} here): "
        "raise it with `ulimit -n` before the start"
    )
