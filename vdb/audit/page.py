"""Records of an audit log as they are read back."""

from __future__ import annotations

from attrs import field, frozen

from vdb.audit.entry import AuditEntry, decode_entry


@frozen(kw_only=True)
class AuditRecord:
    """One leaf of the tree of an audit log."""

    index: int
    first_entry: int
    """The number of the record's first entry in the log."""
    time: int
    """Microseconds UTC."""
    leaf_data: bytes = field(repr=False)
    """The record's header and the SHA-256 of its sealed body."""
    entries: tuple[bytes, ...] = field(repr=False)
    """JSON as it was sealed (`vdb.audit.entry`); of a search those alone that fit."""
    body: bytes = field(default=b"", repr=False)
    """Sealed; empty unless asked for."""
    record_key: bytes = field(default=b"", repr=False)
    """32 bytes, which open this record alone; empty unless asked for, and where not all entries were looked for."""
    shredded: bool = False
    """Its key was destroyed: nobody can open it."""

    def decoded(self) -> list[AuditEntry]:
        """The entries as values."""
        return [decode_entry(entry) for entry in self.entries]


@frozen(kw_only=True)
class AuditPage:
    """Records of an audit log in order."""

    records: tuple[AuditRecord, ...]
    next: int
    """The leaf to go on from."""
    size: int
    """Leaves that there are."""
    names: tuple[str, ...] = field(default=(), repr=False)
    """What entries call the subject by that was searched for: its name and its tokens."""
