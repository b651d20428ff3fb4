"""Pinned heads of logs, in a directory: a file for each log, replaced as a whole."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from vdb.errors import ConfigError


class PinDirectory:
    """Implements `vdb.client.pinning.Pins`. The directory is made when the first head is pinned."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def load(self, origin: str) -> bytes | None:
        try:
            return self._file(origin).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"the pinned head {self._file(origin)} can't be read: {error.strerror}") from None

    def store(self, origin: str, note: bytes) -> None:
        file = self._file(origin)
        beside = file.with_suffix(".new")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with beside.open("wb") as opened:
                opened.write(note)
                opened.flush()
                os.fsync(opened.fileno())
            beside.replace(file)
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise ConfigError(f"the head can't be pinned in {self._directory}: {error.strerror}") from None

    def _file(self, origin: str) -> Path:
        return self._directory / f"{sha256(origin.encode()).hexdigest()[:32]}.note"
