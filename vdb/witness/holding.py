"""What a witness has of each log: the last tree that it cosigned, on its disk before anybody gets the cosignature.

<first 32 digits of SHA-256 of the origin, hex>     the checkpoint, as a note with the witness's own cosignature

Rules
- Looking at what is held and putting another in its place is one step: one at a time for the whole witness.
- A file is replaced as a whole: written beside, synced, renamed. What isn't the witness's own is refused at the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

import trio

from vdb.crypto.signing import SigningKey
from vdb.errors import EvidenceInvalid
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.cosignature import cosign, cosigned_at, witness_key
from vdb.evidence.note import Note, VerifierKey, parse_note
from vdb.evidence.witness import SIZE_TYPE, TEXT_TYPE, AddCheckpoint, Status, judge
from vdb.marks import mark
from vdb.ports import Clock, Disk

_BESIDE = "new"
_MICROS = 1_000_000


class Witness:
    """Give it logs to know, and it answers for them."""

    def __init__(
        self, disk: Disk, clock: Clock, name: str, key: SigningKey, logs: Mapping[str, Sequence[VerifierKey]]
    ) -> None:
        self._disk = disk
        self._clock = clock
        self._name = name
        self._key = key
        self._logs = logs
        self._held: dict[str, Checkpoint] = {}
        self._step = trio.Lock()

    @property
    def verifier(self) -> VerifierKey:
        """What others need to know of it."""
        return witness_key(self._name, self._key)

    async def open(self) -> None:
        """Read what is held. DataDirectoryInUse, and EvidenceInvalid for a file that isn't of this witness."""
        await self._disk.lock()
        for name in await self._disk.list(""):
            if name == _BESIDE:
                continue
            note = parse_note(await self._read(name))
            if cosigned_at(note, self.verifier) is None:
                raise EvidenceInvalid(f"{name} in the witness's directory isn't cosigned by it: expected its own files")
            checkpoint = Checkpoint.parse(note.text)
            self._held[checkpoint.origin] = checkpoint

    def held(self, origin: str) -> Checkpoint | None:
        """The last tree of this log that was cosigned."""
        return self._held.get(origin)

    async def add_checkpoint(self, body: bytes) -> tuple[int, str, bytes]:
        """(HTTP status, content type, answer) to a request's body."""
        try:
            request = AddCheckpoint.parse(body)
            origin = request.checkpoint.origin
        except EvidenceInvalid as error:
            return Status.MALFORMED, TEXT_TYPE, f"{error}\n".encode()
        async with self._step:
            verdict = judge(request, self._logs.get(origin, ()), self._held.get(origin))
            if verdict.cosign is None:
                mark("witness.refused")
                kind = SIZE_TYPE if verdict.status is Status.OTHER_TREE else TEXT_TYPE
                return verdict.status, kind, (verdict.told.rstrip("\n") + "\n").encode()
            line = cosign(request.note.text, self._name, self._key, self._clock.wall_us() // _MICROS)
            await self._store(verdict.cosign, Note(request.note.text, (line,)))
            return Status.COSIGNED, TEXT_TYPE, str(line).encode()

    async def _store(self, checkpoint: Checkpoint, note: Note) -> None:
        data = str(note).encode()
        file = await self._disk.open(_BESIDE, create=True)
        try:
            await file.truncate(0)
            await file.write_at(0, data)
            await file.sync()
        finally:
            await file.close()
        await self._disk.rename(_BESIDE, sha256(checkpoint.origin.encode()).hexdigest()[:32])
        await self._disk.sync_directory("")
        self._held[checkpoint.origin] = checkpoint

    async def _read(self, name: str) -> bytes:
        file = await self._disk.open(name)
        try:
            return await file.read_at(0, await file.size())
        finally:
            await file.close()
