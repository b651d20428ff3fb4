"""A token in a file, read anew for each link: what issues tokens may put another one there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vdb.errors import ConfigError


def token_of(path: str | Path) -> str | Callable[[], str]:
    """For `vdb.connect`. No path: no token. What it gives raises ConfigError for a file that can't be read."""
    if not path:
        return ""
    place = Path(path)

    def read() -> str:
        try:
            return place.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the token in {place} can't be read: {error}") from None

    return read
