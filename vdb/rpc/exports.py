"""The capabilities that the peer may name, with how many references to each it holds."""

from __future__ import annotations

from vdb.errors import WireError
from vdb.rpc.interface import Capability


class ExportTable:
    """Ids are the smallest free ones. A capability has one id for as long as the peer holds a reference to it."""

    __slots__ = ("_free", "_ids", "_references", "_rows", "size_max")

    def __init__(self, size_max: int) -> None:
        self.size_max = size_max
        self._rows: dict[int, Capability] = {}
        self._references: dict[int, int] = {}
        self._ids: dict[Capability, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, export: int) -> Capability:
        """Raises WireError when the peer holds no such export."""
        capability = self._rows.get(export)
        if capability is None:
            raise WireError(f"the target {export} isn't a current export")
        return capability

    def references(self, export: int) -> int:
        return self._references.get(export, 0)

    def add(self, capability: Capability) -> int:
        """Give the peer one more reference; returns the id. Raises WireError when the table is full."""
        export = self._ids.get(capability)
        if export is None:
            if len(self._rows) >= self.size_max:
                raise WireError(f"the peer holds {self.size_max} capabilities and releases none")
            export = self._free.pop() if self._free else len(self._rows)
            assert export not in self._rows
            self._rows[export] = capability
            self._ids[capability] = export
            self._references[export] = 0
        self._references[export] += 1
        return export

    def release(self, export: int, count: int) -> None:
        """Take back `count` references. Raises WireError when the peer holds fewer."""
        held = self._references.get(export, 0)
        if count > held or not held:
            raise WireError(f"a release of {count} references to the export {export}, of which {held} are held")
        if count < held:
            self._references[export] = held - count
            return
        del self._references[export], self._ids[self._rows.pop(export)]
        self._free.append(export)
