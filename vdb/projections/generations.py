"""The files of a projection, generation by generation, and the pointer that says which of them is in use.

    projections/t_<tenant>/<name>.db                the first generation
    projections/t_<tenant>/<name>.<generation>.db   each later one
    projections/t_<tenant>/<name>.generations       the pointer: JSON with these keys, and a SHA-256 in `checksum`

    format    "veritydb-generations"     version  1
    current   [generation, version]      whose rows are served; null: of none, until one is built
    building  [generation, version]      built beside it; null: none is
    previous  [generation, version]      in use before, kept for the way back; null: none is
    hold      whether what is built waits for a command before it is used
    declined  the version that was left for an older one: only a newer one is built by itself
    last      the highest generation ever begun

Rules
- The pointer is written beside its place, synced and renamed, so that a crash leaves the old one or the new one. What
  is in use changes by this one write and nothing else.
- Without a pointer the first generation is in use: it is written when a second one is begun.
- A pointer that is damaged, or missing where there are later generations, says nothing about which rows are whole.
  Then none is in use until one more generation has been built.
- Numbers aren't used again. A file that the pointer doesn't name is of no use, and removed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from attrs import evolve, frozen

from vdb.errors import FileMissing
from vdb.marks import mark
from vdb.ports import Disk
from vdb.types import TenantId

FORMAT = "veritydb-generations"
FORMAT_VERSION = 1
FIRST = 1
_GENERATION = re.compile(r"(?:\.([1-9][0-9]*))?\.db(?:-wal|-shm|\.damaged)?")


@frozen
class Generation:
    """A file with rows, and the version of the configuration that makes them."""

    number: int
    version: int


@frozen(kw_only=True)
class Pointer:
    """See the module's docstring."""

    current: Generation | None
    building: Generation | None = None
    previous: Generation | None = None
    hold: bool = False
    declined: int = 0
    last: int = FIRST

    @classmethod
    def first(cls, version: int) -> Pointer:
        """Of a projection that was never built again."""
        return cls(current=Generation(FIRST, version))

    def begun(self, version: int, *, hold: bool) -> Pointer:
        """One more generation is built; it takes the place of one that was being built."""
        number = self.last + 1
        return evolve(self, building=Generation(number, version), hold=hold, last=number)

    def switched(self) -> Pointer:
        """What was built is in use from now on."""
        assert self.building is not None, "only what was built can be used"
        previous = self.previous if self.current is None else self.current
        return evolve(self, current=self.building, building=None, previous=previous, hold=False)

    def switched_back(self) -> Pointer:
        """What was in use before is so again, and the other one is kept."""
        assert self.previous is not None, "there is a way back only where something was in use before"
        declined = self.declined if self.current is None else max(self.declined, self.current.version)
        return evolve(self, current=self.previous, previous=self.current, declined=declined)

    def renewed_version(self, here: Sequence[int]) -> int:
        """Of rows that take the place of those in use for what they hold, not for how they are made. `here`: versions
        with their handlers, rising. The one that is in use or about to be, not one that waits for a command."""
        if self.current is None or self.current.version not in here:
            return here[-1]
        if self.building is not None and self.building.version in here and not self.hold:
            return self.building.version
        return self.current.version

    @property
    def named(self) -> tuple[int, ...]:
        """The generations whose files are needed."""
        return tuple(found.number for found in (self.current, self.building, self.previous) if found is not None)


class GenerationFiles:
    """The files of one projection of one tenant."""

    def __init__(self, disk: Disk, tenant: TenantId, name: str) -> None:
        self._disk = disk
        self._folder = f"projections/t_{tenant}"
        self._name = name
        self._pointer = f"{self._folder}/{name}.generations"

    def path(self, number: int) -> str:
        """Where a generation's database lies in the data directory."""
        suffix = "" if number == FIRST else f".{number}"
        return f"{self._folder}/{self._name}{suffix}.db"

    async def load(self) -> Pointer | None:
        """The pointer; None where there is none yet. A damaged one comes back as one that names no rows in use."""
        there = await self._disk.exists(self._pointer)
        pointer = _decode(await self._read()) if there else None
        if pointer is not None:
            return pointer
        last = max(await self._numbers(), default=FIRST)
        if not there and last == FIRST:
            return None
        mark("generations.pointer_lost")
        return Pointer(current=None, last=last)

    async def store(self, pointer: Pointer) -> None:
        """Make this the pointer, durably."""
        await self._disk.make_directory(self._folder)
        draft = f"{self._pointer}.new"
        file = await self._disk.open(draft, create=True)
        try:
            content = _encode(pointer)
            await file.truncate(0)
            await file.write_at(0, content)
            await file.sync()
        finally:
            await file.close()
        await self._disk.rename(draft, self._pointer)
        await self._disk.sync_directory(self._folder)

    async def tidy(self, pointer: Pointer) -> None:
        """Remove the files of generations that the pointer doesn't name. They must be closed."""
        for number in await self._numbers():
            if number not in pointer.named:
                await self.remove(number)

    async def remove(self, number: int) -> None:
        """Remove a generation's closed database, with what SQLite may have left beside it."""
        await remove_database(self._disk, self.path(number))

    async def remove_aside(self, number: int) -> None:
        """Remove what was set aside of a generation's file, because it was damaged or didn't open."""
        aside = f"{self.path(number)}.damaged"
        if await self._disk.exists(aside):
            await self._disk.remove(aside)
            await self._disk.sync_directory(self._folder)

    @property
    def scratch(self) -> str:
        """Where rows lie that nobody is served, while they are looked at."""
        return f"{self._folder}/{self._name}.replay.db"

    async def _numbers(self) -> list[int]:
        """The generations of which there is a file."""
        found: dict[int, None] = {}
        for name in await self._disk.list(self._folder):
            rest = name.removeprefix(self._name)
            match = _GENERATION.fullmatch(rest) if rest != name else None
            if match is not None:
                found[int(match[1] or FIRST)] = None
        return sorted(found)

    async def _read(self) -> bytes:
        file = await self._disk.open(self._pointer)
        try:
            return await file.read_at(0, await file.size())
        finally:
            await file.close()


async def remove_database(disk: Disk, path: str) -> None:
    """Remove a closed database, with what SQLite may have left beside it; nothing if there is none."""
    # The main file goes first: SQLite drops a write-ahead file that outlives it. One that died before it would leave
    # it half written and looking whole.
    for name in (path, f"{path}-wal", f"{path}-shm", f"{path}.damaged"):
        if await disk.exists(name):
            try:
                await disk.remove(name)
            except FileMissing:
                continue
            await disk.sync_directory(path.rpartition("/")[0])


def _encode(pointer: Pointer) -> bytes:
    fields: dict[str, Any] = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "current": _pair(pointer.current),
        "building": _pair(pointer.building),
        "previous": _pair(pointer.previous),
        "hold": pointer.hold,
        "declined": pointer.declined,
        "last": pointer.last,
    }
    return json.dumps({**fields, "checksum": _checksum(fields)}, indent=1).encode() + b"\n"


def _decode(content: bytes) -> Pointer | None:
    try:
        fields = json.loads(content)
        checksum = fields.pop("checksum")
        if checksum != _checksum(fields) or (fields["format"], fields["version"]) != (FORMAT, FORMAT_VERSION):
            return None
        return Pointer(
            current=_generation(fields["current"]),
            building=_generation(fields["building"]),
            previous=_generation(fields["previous"]),
            hold=fields["hold"],
            declined=fields["declined"],
            last=fields["last"],
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _pair(generation: Generation | None) -> list[int] | None:
    return None if generation is None else [generation.number, generation.version]


def _generation(pair: Any) -> Generation | None:
    return None if pair is None else Generation(*pair)


def _checksum(fields: dict[str, Any]) -> str:
    return sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
