"""What was revoked: certificates by their serial numbers, and principals by their names.

A TOML file, read again when it changes:

    revoked = ["2f:6e:01:...", "spiffe://clinic.example/dr.lee"]

While it can't be read, or isn't what it should be, nobody new is let in: what it said may have been a revocation.
"""

from __future__ import annotations

import re
import tomllib

from attrs import frozen

from vdb.errors import ConfigError

_SERIAL = re.compile(r"[0-9a-fA-F]{2}(:?[0-9a-fA-F]{2})*")
_KEYS = ("revoked",)


@frozen
class Revoked:
    serials: frozenset[str] = frozenset()
    principals: frozenset[str] = frozenset()

    def names(self, principal: str, serial: str) -> bool:
        """Whether this credential doesn't count any more."""
        return principal in self.principals or (bool(serial) and plain_serial(serial) in self.serials)


def plain_serial(text: str) -> str:
    """Hex digits alone, lower case, without zeros in front."""
    return text.replace(":", "").lower().lstrip("0")


def parse_revoked(content: bytes) -> Revoked:
    """ConfigError for anything but a list of texts called `revoked`."""
    try:
        raw = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the list of what was revoked isn't TOML: {error}") from None
    entries = raw.get("revoked", [])
    if any(key not in _KEYS for key in raw) or not isinstance(entries, list):
        raise ConfigError("the list of what was revoked: expected revoked = [...] alone")
    if not all(isinstance(entry, str) and entry for entry in entries):
        raise ConfigError("the list of what was revoked: expected serial numbers in hex, and names of principals")
    # A name of hex digits alone counts as both: better one too many than one too few.
    return Revoked(
        serials=frozenset(plain_serial(entry) for entry in entries if _SERIAL.fullmatch(entry)),
        principals=frozenset(entries),
    )
