"""What is wrong with an export: always in a file of it, and told so that somebody can look it up there."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode


class Fault(Exception):
    """Something doesn't hold. `file`: which one of the export; empty: not known here."""

    def __init__(self, what: str, file: str = "") -> None:
        super().__init__(f"{file}: {what}" if file else what)
        self.what = what
        self.file = file

    def within(self, file: str) -> Fault:
        """The same, of this file, unless it names one already."""
        return self if self.file else Fault(self.what, file)


def exact_base64(text: str, what: str) -> bytes:
    """The bytes of base64 in its one canonical form; Fault for anything else."""
    try:
        data = b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        data = None
    if data is None or b64encode(data).decode("ascii") != text:
        raise Fault(f"{what} isn't base64 in its canonical form")
    return data
