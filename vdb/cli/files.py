"""Files that a command is given, or makes."""

from __future__ import annotations

import sys
from pathlib import Path

from vdb.errors import ConfigError


def read_file(file: Path) -> bytes:
    """What is in it; standard input for `-`. ConfigError."""
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror}") from None


def write_file(file: Path, text: str) -> None:
    """Make the file, or write it anew. ConfigError."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file} can't be written: {error.strerror}") from None
