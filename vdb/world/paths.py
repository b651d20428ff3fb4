"""Paths of the Disk port: relative, with '/' between their parts, never leaving the data directory."""

from __future__ import annotations

from vdb.errors import InvalidArgument


def check_path(path: str) -> str:
    """Return `path` if it names something inside the data directory; InvalidArgument if not."""
    if not path or any(part in ("", ".", "..") for part in path.split("/")) or "\0" in path:
        raise InvalidArgument(f"a path of the data directory is relative, without '.' or '..'; found {path!r}")
    return path


def check_directory(path: str) -> str:
    """The same for a directory, where '' is the data directory itself."""
    return path if path == "" else check_path(path)


def parent_of(path: str) -> str:
    """The directory that holds `path`; '' at the top."""
    return path.rpartition("/")[0]
