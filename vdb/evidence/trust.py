"""Whose signatures count (C2SP tlog-policy): the log's keys, its witnesses, and how many of them must have signed.

    log <vkey>                          a key of the log; any one of several will do
    witness NAME <vkey>                 a key of type 0x04
    group NAME 2 A B C                  of these, that many; `any` and `all` are numbers, too
    quorum NAME                         a witness or a group; `none`: no witness is asked for

Empty lines and lines that begin with `#` are passed over. A third word behind a key (an address) isn't ours to use.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from vdb.errors import EvidenceInvalid
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.cosignature import cosigned_at
from vdb.evidence.note import COSIGNATURE_V1, ED25519, Note, VerifierKey


@frozen
class Quorum:
    """So many of these members, which are witnesses or other groups."""

    needed: int
    members: tuple[str, ...]


@frozen(kw_only=True)
class TrustPolicy:
    logs: tuple[VerifierKey, ...]
    witnesses: Mapping[str, VerifierKey] = field(factory=dict)
    groups: Mapping[str, Quorum] = field(factory=dict)
    quorum: str = "none"

    @classmethod
    def parse(cls, text: str) -> TrustPolicy:
        """EvidenceInvalid names the line."""
        logs: list[VerifierKey] = []
        witnesses: dict[str, VerifierKey] = {}
        groups: dict[str, Quorum] = {}
        quorum = ""
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            try:
                match words:
                    case ["log", key] | ["log", key, _]:
                        logs.append(_key(key, ED25519))
                    case ["witness", name, key] | ["witness", name, key, _]:
                        _check_new(name, witnesses, groups)
                        witnesses[name] = _key(key, COSIGNATURE_V1)
                    case ["group", name, needed, *members]:
                        _check_new(name, witnesses, groups)
                        groups[name] = _quorum(needed, members, witnesses, groups)
                    case ["quorum", name] if not quorum:
                        quorum = name
                    case _:
                        raise EvidenceInvalid("expected log, witness, group, or one quorum, with their words")
            except EvidenceInvalid as error:
                raise EvidenceInvalid(f"line {number} of a policy: {error}") from None
        if not logs:
            raise EvidenceInvalid("a policy names at least one key of a log: found none")
        if quorum != "none" and quorum not in witnesses and quorum not in groups:
            raise EvidenceInvalid("a policy ends with its quorum, a witness, a group or none: found another word")
        return cls(logs=tuple(logs), witnesses=witnesses, groups=groups, quorum=quorum)

    def check(self, note: Note) -> Checkpoint:
        """The checkpoint in the note, if those signed it who have to. EvidenceInvalid says who is missing."""
        checkpoint = Checkpoint.parse(note.text)
        if not note.verified_by(self.logs):
            names = ", ".join(sorted(dict.fromkeys(key.name for key in self.logs)))
            raise EvidenceInvalid(f"the checkpoint isn't signed by its log: expected a signature of {names}")
        signed = {name for name, key in self.witnesses.items() if cosigned_at(note, key) is not None}
        if self.quorum != "none" and not self._reached(self.quorum, signed):
            raise EvidenceInvalid(f"too few witnesses signed the checkpoint: expected {self.quorum!r}")
        return checkpoint

    def _reached(self, name: str, signed: set[str]) -> bool:
        if name in self.witnesses:
            return name in signed
        group = self.groups[name]
        return sum(self._reached(member, signed) for member in group.members) >= group.needed


def _key(text: str, kind: int) -> VerifierKey:
    key = VerifierKey.parse(text)
    if key.type != kind:
        raise EvidenceInvalid(f"the key of {key.name!r} is of type {key.type}: expected {kind}")
    return key


def _check_new(name: str, *taken: Mapping[str, object]) -> None:
    if name == "none" or any(name in names for names in taken):
        raise EvidenceInvalid(f"the name {name!r} stands for something else already")


def _quorum(needed: str, members: list[str], *known: Mapping[str, object]) -> Quorum:
    unknown = [member for member in members if not any(member in names for names in known)]
    if unknown or not members or len(dict.fromkeys(members)) != len(members):
        raise EvidenceInvalid("a group lists witnesses and groups of the lines above, each once")
    number = {"any": "1", "all": str(len(members))}.get(needed, needed)
    if not number.isascii() or not number.isdigit() or not 1 <= int(number) <= len(members):
        raise EvidenceInvalid(f"a group needs 1 to {len(members)} of its members: found {needed!r}")
    return Quorum(int(number), tuple(members))
