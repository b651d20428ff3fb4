"""The part of the blocking face that is about evidence."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from vdb.client.evidence_line import RecordProof, TreeHead
from vdb.client.sync_base import SyncBase
from vdb.evidence.note import Note, VerifierKey
from vdb.types import Region


class SyncEvidenceFace(SyncBase):
    """Signed heads of a tenant's tree, and proofs. See `AsyncFace`."""

    def tree_head(self, group: Region | str = "", *, family: str = "data", timeout: float | None = None) -> TreeHead:
        """The tree as it is, signed by the group's primary."""
        return self._run(partial(self._face.tree_head, group, family=family, timeout=timeout))

    def cosigned_head(
        self, group: Region | str = "", *, family: str = "data", timeout: float | None = None
    ) -> TreeHead:
        """The last head that the node's witnesses have signed, checked against the tree as it is."""
        return self._run(partial(self._face.cosigned_head, group, family=family, timeout=timeout))

    def tree_leaves(
        self,
        group: Region | str = "",
        first: int = 0,
        maximum: int = 0,
        *,
        family: str = "data",
        timeout: float | None = None,
    ) -> tuple[list[bytes], int]:
        """Data of leaves from `first` on (`maximum` 0: as many as fit), and how many the tree has now.

        Each is its record's header (`vdb.crypto.record.decode_header`) and 32 bytes: the SHA-256 of the sealed body.
        """
        return self._run(partial(self._face.tree_leaves, group, first, maximum, family=family, timeout=timeout))

    def prove(self, stream: str, offset: int, *, timeout: float | None = None) -> RecordProof:
        """That the record of an event is in the tree."""
        return self._run(partial(self._face.prove, stream, offset, timeout=timeout))

    def follow_tree(
        self,
        known: Note | None,
        keys: Iterable[VerifierKey],
        group: Region | str = "",
        *,
        family: str = "data",
        timeout: float | None = None,
    ) -> TreeHead:
        """The tree as it is, once it is clear that it continues the one that was known. EvidenceInvalid if not."""
        return self._run(partial(self._face.follow_tree, known, keys, group, family=family, timeout=timeout))
