"""Evidence of what a group has committed: signed heads of tenants' trees, and proofs from them.

Rules
- A head is signed for committed ops alone: it never has to be taken back. The group's primary signs, so a head that is
  given is never behind one that was given before.
- A node signs with a key of its own (`RootKey.signing_key`), under the name of the log: its origin. Verifiers know a
  node's key by its vkey, and may trust several for one origin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum

import trio
from attrs import frozen

from vdb.crypto.record import decode_record
from vdb.crypto.root import RootKeys
from vdb.crypto.signing import SigningKey
from vdb.errors import InvalidArgument, UnknownTenant
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.merkle import consistency_proof, inclusion_proof
from vdb.evidence.note import Note, VerifierKey, sign_note
from vdb.evidence.proof import LogProof
from vdb.kernel.rows import TenantState
from vdb.node.evidence.leaves import LeavesCache
from vdb.node.gate.reader import GroupReader
from vdb.node.replication.group import Group
from vdb.types import SYSTEM_TENANT, GroupId, TenantId, audit_log_of, check_tenant_id

LEAVES_MAX = 2_000
"""Leaves that are given at once."""


class Family(Enum):
    """Which of a tenant's logs in a group."""

    DATA = "data"
    AUDIT = "audit"


def family_of(name: str) -> Family:
    """By its name; the log of data for an empty one. InvalidArgument."""
    if name not in ("", Family.DATA.value, Family.AUDIT.value):
        raise InvalidArgument(f"a log is of one of two families: expected 'data' or 'audit', found '{name}'")
    return Family(name or Family.DATA.value)


@frozen(kw_only=True)
class SignedHead:
    """A tree, and who stands for it."""

    note: Note
    verifier: VerifierKey


def origin_of(cluster: bytes, group: GroupId, tenant: TenantId, family: Family = Family.DATA) -> str:
    """The name of a tenant's log in a group: no name of a clinic, and none of a patient."""
    return f"veritydb/{cluster.hex()}/{group}/t-{tenant}/{family.value}"


class Prover:
    """One per node."""

    def __init__(
        self,
        readers: Mapping[GroupId, GroupReader],
        root_keys: RootKeys,
        disk_id: Callable[[], bytes],
        *,
        alone: bool = False,
    ) -> None:
        """`alone`: there is nobody who could confirm what is committed, as of a node that is stopped."""
        self._alone = alone
        self._readers = readers
        self._root_keys = root_keys
        self._disk_id = disk_id
        self._leaves = {name: LeavesCache(reader.group) for name, reader in readers.items()}

    def leaves(self, group: GroupId) -> LeavesCache:
        """Leaves of the group's trees, by the number of their log."""
        return self._leaves[group]

    async def head(self, tenant: int, group: str, family: Family = Family.DATA) -> SignedHead:
        """The tree as it is now. NotPrimary, UnknownTenant."""
        reader = self._reader(group)
        await self._confirm(reader)
        return self._sign(reader.group, self._log(reader.group, tenant, family), family)

    def verifier(self, tenant: TenantId, group: GroupId, family: Family) -> VerifierKey:
        """The key under which this node signs heads of a tree."""
        cluster = self._readers[group].group.superblock.state.cluster
        return VerifierKey(origin_of(cluster, group, tenant, family), self._keys(group)[0].public)

    async def prove(self, tenant: int, reader: GroupReader, stream: str, offset: int) -> tuple[LogProof, VerifierKey]:
        """That the record with this event is in the tree. InvalidArgument for an offset beyond the stream's end."""
        checked, group = check_tenant_id(tenant), reader.group
        found = reader.find(checked, stream)
        assert found is not None, "the caller has found the stream"
        if offset >= found.next_offset:
            raise InvalidArgument(
                f"stream '{stream}' has {found.next_offset} events: expected the offset of one, found {offset}"
            )
        (frame, *_) = await group.storage.event_log.read_stream(checked, found.stream, offset, 1)
        state = self._tenant(group, checked)
        leaves = self._leaves[group.name].of(checked)
        await leaves.read(state.record_count)
        index = leaves.index_at(frame.position)
        record = decode_record(frame.record)
        head = self._sign(group, state, Family.DATA)
        path = inclusion_proof(leaves.hash_at, index, state.record_count)
        return LogProof(index, path, head.note, record.leaf_data), head.verifier

    async def leaf_data(
        self, tenant: int, group: str, from_index: int, maximum: int, family: Family = Family.DATA
    ) -> tuple[list[bytes], int]:
        """The data of so many leaves from this one on, LEAVES_MAX at most, and how many the tree has. NotPrimary."""
        reader = self._reader(group)
        await self._confirm(reader)
        state = self._log(reader.group, tenant, family)
        size, number = state.record_count, _number(state.tenant, family)
        leaves = self._leaves[reader.group.name].of(number)
        await leaves.read(size)
        end = min(size, from_index + min(maximum or LEAVES_MAX, LEAVES_MAX))
        found: list[bytes] = []
        log, read_max = reader.group.storage.event_log, reader.group.limits.read_bytes_max
        while from_index + len(found) < end:
            for frame in await log.read_log(number, leaves.position_of(from_index + len(found)), read_max):
                found.append(decode_record(frame.record).leaf_data)
            await trio.lowlevel.checkpoint()
        return found[: max(0, end - from_index)], size

    async def consistency(
        self, tenant: int, group: str, size: int, family: Family = Family.DATA
    ) -> tuple[SignedHead, tuple[bytes, ...]]:
        """The tree as it is now, and that it begins with the one of `size` leaves."""
        reader = self._reader(group)
        await self._confirm(reader)
        state = self._log(reader.group, tenant, family)
        if size > state.record_count:
            raise InvalidArgument(
                f"the {family.value} tree of tenant {tenant} in {reader.group.name} has {state.record_count} leaves: "
                f"expected a size up to that, found {size}"
            )
        leaves = self._leaves[reader.group.name].of(_number(state.tenant, family))
        await leaves.read(state.record_count)
        return self._sign(reader.group, state, family), consistency_proof(leaves.hash_at, size, state.record_count)

    async def _confirm(self, reader: GroupReader) -> None:
        if not self._alone:
            await reader.group.confirm()

    def _sign(self, group: Group, state: TenantState, family: Family) -> SignedHead:
        origin = origin_of(group.superblock.state.cluster, group.name, state.tenant, family)
        keys = self._keys(group.name)
        text = str(Checkpoint(origin, state.frontier.size, state.frontier.root()))
        note = sign_note(text, [(origin, key) for key in keys])
        return SignedHead(note=note, verifier=VerifierKey(origin, keys[0].public))

    def _keys(self, group: GroupId) -> list[SigningKey]:
        """The node's own; several while a root key is exchanged: who trusts one of them learns of the next."""
        return [root.signing_key(self._disk_id()) for root in self._root_keys.ring(group).keys]

    def _log(self, group: Group, tenant: int, family: Family) -> TenantState:
        if family is Family.DATA:
            return self._tenant(group, check_tenant_id(tenant))
        checked = SYSTEM_TENANT if tenant == SYSTEM_TENANT else check_tenant_id(tenant)
        state = group.state.audit_log(checked)
        if state is None:
            raise UnknownTenant(f"tenant {tenant} has no audit log in {group.name}")
        return state

    def _tenant(self, group: Group, tenant: TenantId) -> TenantState:
        state = group.state.tenant(tenant)
        if state is None:
            raise UnknownTenant(f"tenant {tenant} has no stream in {group.name}")
        return state

    def _reader(self, name: str) -> GroupReader:
        reader = self._readers.get(GroupId(name))
        if reader is None:
            raise InvalidArgument(f"this node has no group '{name}': expected one of {', '.join(self._readers)}")
        return reader


def _number(tenant: TenantId, family: Family) -> TenantId:
    """Under which a tenant's log is kept."""
    return audit_log_of(tenant) if family is Family.AUDIT else tenant
