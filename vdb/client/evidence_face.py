"""The part of the face that is about evidence: signed heads of trees, and proofs that hold without a server."""

from __future__ import annotations

from collections.abc import Iterable

from vdb.client.evidence_line import RecordProof, TreeHead
from vdb.client.face_base import FaceBase
from vdb.client.pinning import Pins, check_continues, pinned_head
from vdb.client.values import check_number
from vdb.errors import EvidenceInvalid, InvalidArgument
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.note import Note, VerifierKey
from vdb.types import U64_MAX, Region


class EvidenceFace(FaceBase):
    """Each tenant's records in a group are the leaves of one Merkle tree (RFC 6962), in commit order."""

    pins: Pins | None = None
    """Where heads are kept that were seen before: every head has to continue them. None: nowhere."""

    async def tree_head(
        self, group: Region | str = "", *, family: str = "data", system: bool = False, timeout: float | None = None
    ) -> TreeHead:
        """The tree as it is, signed by the group's primary. `group`: 'global', or a region; empty: the node's.

        `family`: "data", or "audit" for the tree of the audit log. `system`: of the one that tells what is about no
        tenant.
        """
        name = str(group) or await self._region_of_node(timeout)
        seconds = self._seconds(timeout)
        tenant = 0 if system else self.tenant
        head = await self._gateway.evidence.head(tenant, name, family=family, timeout=seconds)
        if self.pins is None:
            return head

        async def consistency(size: int) -> tuple[TreeHead, tuple[bytes, ...]]:
            evidence = self._gateway.evidence
            return await evidence.consistency(tenant, name, size, family=family, timeout=seconds)

        return await pinned_head(self.pins, head, consistency)

    async def tree_consistency(
        self, size: int, group: Region | str = "", *, family: str = "data", timeout: float | None = None
    ) -> tuple[TreeHead, tuple[bytes, ...]]:
        """The tree as it is, and the hashes which show that it begins with the one of `size` leaves (RFC 9162).

        InvalidArgument if it never had as many.
        """
        check_number(size, U64_MAX, "the size of a tree")
        name = str(group) or await self._region_of_node(timeout)
        return await self._gateway.evidence.consistency(
            self.tenant, name, size, family=family, timeout=self._seconds(timeout)
        )

    async def tree_leaves(
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
        check_number(first, U64_MAX, "the number of a leaf")
        name = str(group) or await self._region_of_node(timeout)
        return await self._gateway.evidence.leaves(
            self.tenant, name, first, maximum, family=family, timeout=self._seconds(timeout)
        )

    async def cosigned_head(
        self, group: Region | str = "", *, family: str = "data", system: bool = False, timeout: float | None = None
    ) -> TreeHead:
        """The last head that the node's witnesses have signed, checked against the tree as it is.

        NotAvailable: there is none, and why. EvidenceInvalid: the tree doesn't begin with the one that they signed.
        """
        name, seconds = str(group) or await self._region_of_node(timeout), self._seconds(timeout)
        tenant, evidence = 0 if system else self.tenant, self._gateway.evidence
        head = await evidence.head(tenant, name, family=family, cosigned=True, timeout=seconds)
        now, path = await evidence.consistency(tenant, name, head.checkpoint.size, family=family, timeout=seconds)
        check_continues(head.checkpoint, now.checkpoint, path)
        return head

    async def prove(self, stream: str, offset: int, *, timeout: float | None = None) -> RecordProof:
        """That the record of an event is in the tree. UnknownStream, InvalidArgument."""
        check_number(offset, U64_MAX, "an offset")
        return await self._gateway.evidence.prove(self.tenant, stream, offset, timeout=self._seconds(timeout))

    async def follow_tree(
        self,
        known: Note | None,
        keys: Iterable[VerifierKey],
        group: Region | str = "",
        *,
        family: str = "data",
        timeout: float | None = None,
    ) -> TreeHead:
        """The tree as it is, once it is clear that it continues the one that was known: keep it, and give it next time.

        `keys`: whose signatures count; one of them has to have signed. EvidenceInvalid if the tree that the node shows
        is another one, has lost leaves, or isn't signed: somebody has changed what was there, or shows two histories.
        """
        trusted = tuple(keys)
        if known is None:
            head = await self.tree_head(group, family=family, timeout=timeout)
            _check_signed(head.note, trusted)
            return head
        old, name = Checkpoint.parse(known.text), str(group) or await self._region_of_node(timeout)
        try:
            head, path = await self._gateway.evidence.consistency(
                self.tenant, name, old.size, family=family, timeout=self._seconds(timeout)
            )
        except InvalidArgument as error:
            raise EvidenceInvalid(
                f"the tree of {old.size} leaves that was known isn't there any more: {error}"
            ) from None
        _check_signed(head.note, trusted)
        check_continues(old, head.checkpoint, path)
        return head


def _check_signed(note: Note, keys: tuple[VerifierKey, ...]) -> None:
    if not note.verified_by(keys):
        raise EvidenceInvalid("the tree isn't signed by a key that is trusted")
