"""Has witnesses cosign the heads of all trees that this node leads, again and again, and keeps what they gave.

    cosigned/<first 32 digits of SHA-256 of the origin, hex>     the head, as a note with all signatures

Rules
- The primary of a group asks, for each tree of data and of audit: all witnesses sign one and the same head, or it
  doesn't count. What a new primary hasn't got it asks for at once.
- A head is asked for when the last is `every_s` old; after a failure again in `RETRY_SECONDS`, doubled each time up to
  that. One that stands still is cosigned anew: that nothing came is worth knowing, too.
- A witness that knows another history is told as that, at every try: nothing here makes it go away.
- A file is replaced as a whole. One that can't be read is as if it weren't there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import sha256

import trio
from attrs import define, field

from vdb.errors import EvidenceInvalid, NotAvailable, VerityError
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.cosignature import cosigned_at
from vdb.evidence.note import Note, parse_note
from vdb.marks import mark
from vdb.node import log
from vdb.node.audit.cosigning_settings import CosigningSettings
from vdb.node.evidence.proving import Family, Prover, SignedHead, origin_of
from vdb.node.gate.reader import GroupReader
from vdb.ports import Clock, Disk, Network
from vdb.types import GroupId, TenantId
from vdb.witness.asking import ask_witnesses

RETRY_SECONDS = 60.0
LOOK_SECONDS = 5.0
_DIRECTORY = "cosigned"
_BESIDE = f"{_DIRECTORY}/new"
_MICROS = 1_000_000
_NOTE_BYTES_MAX = 64 * 1024


@define
class _Tree:
    note: Note | None = None
    at: int = 0
    """When the last of the witnesses signed, in microseconds UTC; 0: never."""
    due: float = 0.0
    """When it is asked for again, in the node's own time."""
    wait: float = RETRY_SECONDS
    problem: str = ""


Tree = tuple[GroupId, TenantId, Family]


@define
class Cosigning:
    """See the module's docstring. One per node."""

    _readers: Mapping[GroupId, GroupReader]
    _proofs: Prover
    _network: Network
    _disk: Disk
    _clock: Clock
    _settings: CosigningSettings
    _trees: dict[Tree, _Tree] = field(factory=dict)

    @property
    def witnesses(self) -> int:
        """How many are asked; 0: nobody is."""
        return len(self._settings.witnesses)

    def oldest(self, group: GroupId) -> int:
        """When the tree of a group that waits longest was cosigned, in microseconds UTC; 0: one never was, or none."""
        return min((tree.at for (name, _, _), tree in self._trees.items() if name == group), default=0)

    def head(self, tenant: TenantId, group: GroupId, family: Family) -> SignedHead:
        """The last head that all witnesses have signed. NotAvailable says why there is none."""
        tree = self._trees.get((group, tenant, family))
        if tree is None or tree.note is None:
            why = tree.problem if tree is not None else ""
            if not self.witnesses:
                why = "no witnesses are configured ([audit] witnesses)"
            raise NotAvailable(f"no head of this tree has been cosigned here: {why or 'it will be asked for'}")
        return SignedHead(note=tree.note, verifier=self._proofs.verifier(tenant, group, family))

    async def run(self) -> None:
        """Ask until cancelled. DiskFailed."""
        if not self.witnesses:
            return
        await self._disk.make_directory(_DIRECTORY)
        while True:
            for name, reader in self._readers.items():
                for tree in self._trees_of(name, reader):
                    await self._look(tree, reader)
            await trio.sleep(min(LOOK_SECONDS, self._settings.every_s))

    def _trees_of(self, name: GroupId, reader: GroupReader) -> Sequence[Tree]:
        state = reader.group.state
        data = [(name, one.tenant, Family.DATA) for one in state.tenants()]
        return [*data, *((name, tenant, Family.AUDIT) for tenant in state.audited_tenants())]

    async def _look(self, key: Tree, reader: GroupReader) -> None:
        tree = self._trees.get(key)
        if tree is None:
            tree = self._trees[key] = await self._load(key, reader)
        if trio.current_time() < tree.due or not reader.group.is_serving:
            return
        try:
            note = await ask_witnesses(self._network, self._settings.witnesses, partial(self._consistency, key))
            await self._keep(key, reader, tree, note)
        except (VerityError, OSError) as error:
            mark("cosigning.failed")
            tree.problem = str(error) if isinstance(error, EvidenceInvalid) else log.reason(error)
            log.warning("audit.not_cosigned", group=key[0], tenant=key[1], reason=log.reason(error))
            tree.due = trio.current_time() + min(tree.wait, self._settings.every_s)
            tree.wait = min(2 * tree.wait, max(RETRY_SECONDS, self._settings.every_s))

    async def _consistency(self, key: Tree, size: int) -> tuple[Note, tuple[bytes, ...]]:
        group, tenant, family = key
        head, path = await self._proofs.consistency(tenant, group, size, family)
        return head.note, path

    async def _keep(self, key: Tree, reader: GroupReader, tree: _Tree, note: Note) -> None:
        file = await self._disk.open(_BESIDE, create=True)
        try:
            await file.truncate(0)
            await file.write_at(0, str(note).encode())
            await file.sync()
        finally:
            await file.close()
        await self._disk.rename(_BESIDE, self._path(key, reader))
        await self._disk.sync_directory(_DIRECTORY)
        tree.note, tree.at, tree.problem, tree.wait = note, self._signed_at(note), "", RETRY_SECONDS
        tree.due = trio.current_time() + self._settings.every_s
        log.info("audit.cosigned", group=key[0], tenant=key[1], records=Checkpoint.parse(note.text).size)

    async def _load(self, key: Tree, reader: GroupReader) -> _Tree:
        """What was kept; nothing if it isn't of all of today's witnesses."""
        path = self._path(key, reader)
        if not await self._disk.exists(path):
            return _Tree()
        file = await self._disk.open(path)
        try:
            note = parse_note(await file.read_at(0, min(await file.size(), _NOTE_BYTES_MAX)))
            at = self._signed_at(note)
        except EvidenceInvalid:
            mark("cosigning.kept_note_unread")
            return _Tree()
        finally:
            await file.close()
        age = max(0.0, (self._clock.wall_us() - at) / _MICROS)  # a witness's clock may be ahead of this one
        return _Tree(note=note, at=at, due=trio.current_time() + max(0.0, self._settings.every_s - age))

    def _path(self, key: Tree, reader: GroupReader) -> str:
        group, tenant, family = key
        origin = origin_of(reader.group.superblock.state.cluster, group, tenant, family)
        return f"{_DIRECTORY}/{sha256(origin.encode()).hexdigest()[:32]}"

    def _signed_at(self, note: Note) -> int:
        """When the last of the witnesses signed. EvidenceInvalid where one of them didn't."""
        times = [cosigned_at(note, one.key) for one in self._settings.witnesses]
        signed = [one for one in times if one is not None]
        if len(signed) < len(times):
            raise EvidenceInvalid("not all witnesses have signed this head")
        return max(signed) * _MICROS
