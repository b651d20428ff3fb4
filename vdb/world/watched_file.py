"""A file that may change while a node runs: the Source port."""

from __future__ import annotations

import os
from pathlib import Path

from vdb.errors import ConfigError


class WatchedFile:
    """Reads the file again once it has another size or time of change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._content = b""

    def read(self) -> bytes:
        try:
            found = os.stat(self._path)
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen != self._seen:
                self._content = self._path.read_bytes()
                self._seen = seen
        except OSError as error:
            raise ConfigError(f"{self._path} can't be read: {error.strerror}") from None
        return self._content
