"""What carries calls for evidence: an RPC connection, or a node in the same process. See `vdb.client.gateway`."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.note import Note, VerifierKey
from vdb.evidence.proof import LogProof


@frozen(kw_only=True)
class TreeHead:
    """A tenant's tree in a group, as a node stands for it."""

    note: Note
    """What is kept: `str` of it is the file."""
    verifier: VerifierKey
    """The node's key. Whether it is to be trusted, the node itself can't say."""

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint.parse(self.note.text)


@frozen(kw_only=True)
class RecordProof:
    """That a record is in a tenant's tree."""

    proof: LogProof
    """Its `extra` is the leaf's data: the record's header and the SHA-256 of its sealed body."""
    verifier: VerifierKey


class EvidenceLine(Protocol):
    async def head(
        self, tenant: int, group: str, *, family: str = "", cosigned: bool = False, timeout: float
    ) -> TreeHead:
        """`group`: a region's name or 'global'; empty: the node's region. `family`: "data" (empty too), "audit"."""

    async def prove(self, tenant: int, stream: str, offset: int, *, timeout: float) -> RecordProof: ...

    async def leaves(
        self, tenant: int, group: str, first: int, maximum: int, *, family: str = "", timeout: float
    ) -> tuple[list[bytes], int]:
        """Data of some leaves from `first` on, and how many the tree has now."""

    async def consistency(
        self, tenant: int, group: str, size: int, *, family: str = "", timeout: float
    ) -> tuple[TreeHead, tuple[bytes, ...]]: ...
