"""A region's data is nowhere but in its region: on no wire to a node elsewhere, and on no disk there, neither in clear
nor sealed.

- In clear: each payload holds a canary that names the group it was sent to.
- Sealed: each record's header names the region that it was sealed for. Headers are looked for by their first bytes in
  all that is sent and stored; and at the end the records that the ledger holds by what stands in none but theirs.
Bytes that a client sends or is sent are its own business: what counts is which node they reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import define, field

from sim.canary import WORD
from sim.checkers.ledger import Frame
from sim.verdict import Verdict
from vdb.crypto.record import decode_record
from vdb.types import GLOBAL_GROUP

_MAGIC = b"VDBR"
_REGION_AT = 51
"""In a record's header: the length of the region's name, and behind it the name."""
_NAME_MAX = 32
_OVERLAP = _REGION_AT + 1 + _NAME_MAX
_SAMPLES = 40
"""So many records of a group are looked for on each disk."""
_BODY_SAMPLE = 32
"""Bytes of a sealed body that stand in no other: its salt."""


@define
class Abroad:
    """`places` says which region each node's machine is in, by its name; `names` are all regions."""

    verdict: Verdict
    places: Mapping[str, str]
    names: Sequence[str]
    _tails: dict[tuple[str, str], bytes] = field(factory=dict)
    _canaries: dict[str, tuple[tuple[str, bytes], ...]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        for region in self.names:
            others = [other for other in self.names if other != region]
            self._canaries[region] = tuple((other, f"{WORD}-payload-{other}-".encode()) for other in others)

    def on_sent(self, source: str, destination: str, chunk: bytes) -> None:
        """Something was sent from one host to another. What one connection cuts in two is seen whole."""
        region = self.places.get(destination)
        if region is None:
            return
        content = self._tails.get((source, destination), b"") + chunk
        self._tails[source, destination] = content[-_OVERLAP:]
        found = self._foreign(content, region)
        self.verdict.check("abroad-wire", not found, f"{source} sent {destination}, which is in {region}, {found}")

    def check_disk(self, machine: str, files: Iterable[tuple[str, bytes]]) -> None:
        """What a machine has on its disk now."""
        region = self.places[machine]
        for path, content in files:
            found = self._foreign(content, region)
            self.verdict.check("abroad-disk", not found, f"{machine}, which is in {region}, has {found} in {path}")

    def check_records(
        self, machine: str, files: Iterable[tuple[str, bytes]], frames: Mapping[str, Sequence[Frame]]
    ) -> None:
        """The same by the bodies of records, of which `frames` has those of each region's group."""
        region = self.places[machine]
        everything = b"".join(content for _, content in files)
        for other, records in frames.items():
            if other in (region, GLOBAL_GROUP):
                continue
            for frame in records[:: max(1, len(records) // _SAMPLES)]:
                self.verdict.check(
                    "abroad-disk",
                    _salt(frame.record) not in everything,
                    f"{machine}, which is in {region}, has the record of position {frame.position} of {other}",
                )

    def _foreign(self, content: bytes, region: str) -> str:
        """What there is in these bytes that belongs to another region; '' for nothing."""
        for other, canary in self._canaries[region]:
            if canary in content:
                return f"a payload of {other} in clear"
        at = content.find(_MAGIC)
        while at >= 0:
            size = content[at + _REGION_AT : at + _REGION_AT + 1]
            if size:
                name = content[at + _REGION_AT + 1 : at + _REGION_AT + 1 + size[0]].decode("latin-1")
                if name != region and name in self.names:
                    return f"a sealed record of {name}"
            at = content.find(_MAGIC, at + 1)
        return ""


def _salt(record: bytes) -> bytes:
    """The first bytes of a record's body."""
    return bytes(decode_record(record).body[:_BODY_SAMPLE])
