"""What was revoked: certificates by their serial numbers, and principals by their names.

A TOML file, read again when it changes:

    revoked = ["2f:6e:01:...", "spiffe://clinic.example/dr.lee"]

While it can't be read, or isn't what it should be, nobody new is let in: what it said may have been a revocation.

Beside it, the lists of the authority itself (CRLs), of clients' certificates and of nodes': read again likewise. One
that can't be read any more holds as it was until it ends; once one has ended, no certificate counts until there is a
newer one, unless the settings say otherwise.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime

from attrs import frozen

from vdb.crypto.revocation_list import RevocationList, read_revocation_lists
from vdb.errors import ConfigError
from vdb.marks import mark
from vdb.node import log
from vdb.ports import Source

_SERIAL = re.compile(r"[0-9a-fA-F]{2}(:?[0-9a-fA-F]{2})*")
_KEYS = ("revoked",)


@frozen
class Revoked:
    serials: frozenset[str] = frozenset()
    principals: frozenset[str] = frozenset()
    uncertain: str = ""
    """Why nobody can tell of certificates whether they count; empty: it is known."""

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


class RevocationLists:
    """What authorities have revoked, from files of theirs."""

    def __init__(self, files: Sequence[Source], authorities: Source | None, *, may_end: bool) -> None:
        """`authorities`: certificates of those who sign lists. `may_end`: one that has ended goes on to count.

        ConfigError for a file that isn't what it should be.
        """
        if files and authorities is None:
            raise ConfigError("revocation lists are of certificates: expected TLS to be configured")
        self._files = files
        self._authorities = authorities
        self._may_end = may_end
        self._read: list[tuple[tuple[bytes, bytes], tuple[RevocationList, ...]]] = []
        self._problem = ""
        self._load()

    def add_to(self, revoked: Revoked, now: int) -> Revoked:
        """With what the lists say, at a time in microseconds UTC."""
        if not self._files:
            return revoked
        try:
            self._load()
            self._problem = ""
        except ConfigError as error:
            if str(error) != self._problem:
                mark("identity.list_unreadable")
                log.warning("identity.revocation_list_unreadable", reason=log.reason(error))
            self._problem = str(error)
        lists = [one for _, found in self._read for one in found]
        ended = next((one for one in lists if one.ends <= now), None)
        uncertain = ""
        if ended is not None and not self._may_end:
            until = datetime.fromtimestamp(ended.ends / 1e6, UTC).isoformat()
            uncertain = f"the revocation list of {ended.authority} has ended at {until}: expected a newer one"
        serials = revoked.serials.union(*(one.serials for one in lists))
        return Revoked(serials=serials, principals=revoked.principals, uncertain=uncertain)

    def _load(self) -> None:
        if self._authorities is None:
            return
        authorities = self._authorities.read()
        found = []
        for index, file in enumerate(self._files):
            content = (file.read(), authorities)
            known = self._read[index] if index < len(self._read) else None
            if known is not None and known[0] == content:
                found.append(known)
            else:
                found.append((content, read_revocation_lists(*content)))
        self._read = found
