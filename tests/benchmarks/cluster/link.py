"""One connection to a system as bytes in and bytes out; what moves the bytes is `load` and `probe`."""

from __future__ import annotations

from typing import Protocol

PAYLOAD = b"0123456789abcdef" * 16
"""What every event holds: 256 bytes in each of the protocols, because nothing in it needs an escape."""


class Link(Protocol):
    """The client's end. Requests are answered in any order."""

    refusal: str
    """What the node said when it last refused a request; empty if it never did."""

    def ask_append(self, events: int) -> None:
        """Queue one request that appends so many events, all or none."""

    def ask_read(self, first: int, events: int) -> None:
        """Queue one request for the events from offset `first` on. There must be as many."""

    def data_to_send(self) -> bytes:
        """What is queued and may be sent now."""

    def receive(self, data: bytes) -> int:
        """How many requests these bytes finished as they should be. Raises ValueError at what makes no sense."""
