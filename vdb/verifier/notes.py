"""Signed notes, checkpoints, cosignatures and policies (C2SP signed-note, tlog-checkpoint, -cosignature, -policy).

Rules
- Every signature of a note has to be of a key that is known here, and has to fit: an export holds no others, so a
  signature that was changed never passes for somebody else's.
- Base64 has one form; a key fits its id.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from vdb.verifier.faults import Fault, exact_base64

TYPE_ED25519 = 1
TYPE_COSIGNATURE = 4

SIGNATURES_MAX = 100
_DASH = "\N{EM DASH} "
_VKEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class PublicKey:
    """Somebody's key. `type`: how it signs, 1 a text, 4 a checkpoint with a time."""

    name: str
    type: int
    public: bytes

    @property
    def id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}"


def key_from_vkey(text: str) -> PublicKey:
    """From NAME+ID+BASE64. Fault says what is wrong with it."""
    found = _VKEY.fullmatch(text)
    if not found:
        raise Fault("a key reads NAME+8 HEX DIGITS+BASE64, and nothing else")
    data = exact_base64(found[3], f"the key of {found[1]!r}")
    if len(data) != 33 or data[0] not in (TYPE_ED25519, TYPE_COSIGNATURE):
        raise Fault(f"the key of {found[1]!r} is of a type that isn't known here: expected 1 or 4, and 32 bytes")
    key = PublicKey(found[1], data[0], data[1:])
    if key.id.hex() != found[2]:
        raise Fault(f"the key of {key.name!r} doesn't fit its id: expected {key.id.hex()}, found {found[2]}")
    return key


@dataclass(frozen=True)
class SignedText:
    """A note whose signatures all fit: what was signed, and by which keys, witnesses with the seconds since 1970."""

    text: str
    signers: list[PublicKey]
    times: dict[str, int]


def read_note(data: bytes, keys: list[PublicKey]) -> SignedText:
    """The note, if each of its signatures is of one of these keys and fits. Fault names the signature."""
    try:
        content = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Fault(f"a signed note is UTF-8: byte {error.start} isn't") from None
    split = content.rfind("\n\n")
    if split < 0 or not content.endswith("\n") or len(content) < split + 4:
        raise Fault("a signed note has a text, an empty line, and signatures that end with a newline")
    text = content[: split + 1]
    if any(ord(char) < 0x20 and char != "\n" for char in text):
        raise Fault("a signed note has no control characters but newlines")
    signers: list[PublicKey] = []
    times: dict[str, int] = {}
    lines = content[split + 2 : -1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise Fault(f"a signed note has at most {SIGNATURES_MAX} signatures; found {len(lines)}")
    for number, line in enumerate(lines, 1):
        words = line.removeprefix(_DASH).split(" ")
        if not line.startswith(_DASH) or len(words) != 2:
            raise Fault(f"signature {number} doesn't read '{_DASH}NAME BASE64'")
        signed = exact_base64(words[1], f"signature {number}, of {words[0]!r},")
        known = [key for key in keys if (key.name, key.id) == (words[0], signed[:4])]
        if not known:
            raise Fault(f"signature {number}, of {words[0]!r}, is of a key that isn't known: {signed[:4].hex()}")
        if known[0] in signers:
            raise Fault(f"signature {number}, of {words[0]!r}, is there twice")
        _check_signature(known[0], text, signed[4:], number, times)
        signers.append(known[0])
    return SignedText(text, signers, times)


def _check_signature(key: PublicKey, text: str, signature: bytes, number: int, times: dict[str, int]) -> None:
    message = text.encode()
    if key.type == TYPE_COSIGNATURE:
        seconds = int.from_bytes(signature[:8], "big")
        message = f"cosignature/v1\ntime {seconds}\n".encode() + message
        signature = signature[8:]
        times[key.name] = seconds
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Fault(f"signature {number}, of {key.name!r}, doesn't fit the text") from None


@dataclass(frozen=True)
class TreeSigned:
    """What a log signs of its tree."""

    origin: str
    size: int
    root: bytes


def read_checkpoint(text: str) -> TreeSigned:
    """From a note's text: origin, number of leaves, root."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise Fault("a checkpoint has three lines: origin, size and root")
    if not _DECIMAL.fullmatch(lines[1]):
        raise Fault("a checkpoint's size is a decimal number without leading zeros")
    root = exact_base64(lines[2], "a checkpoint's root")
    if len(root) != 32:
        raise Fault(f"a checkpoint's root has 32 bytes; found {len(root)}")
    return TreeSigned(lines[0], int(lines[1]), root)


@dataclass
class Trust:
    """Whose signatures count for a checkpoint: a key of the log, and so many witnesses."""

    logs: list[PublicKey] = field(default_factory=list)
    witnesses: dict[str, PublicKey] = field(default_factory=dict)
    groups: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    quorum: str = ""

    @property
    def keys(self) -> list[PublicKey]:
        return [*self.logs, *self.witnesses.values()]

    def check(self, note: SignedText) -> None:
        """Fault if those who have to didn't sign."""
        if not any(key in note.signers for key in self.logs):
            raise Fault("the checkpoint isn't signed by a key of its log")
        if self.quorum != "none" and not self._reached(self.quorum, note):
            raise Fault(f"too few witnesses signed the checkpoint: expected {self.quorum!r}")

    def _reached(self, name: str, note: SignedText) -> bool:
        if name in self.witnesses:
            return self.witnesses[name] in note.signers
        needed, members = self.groups[name]
        return sum(self._reached(member, note) for member in members) >= needed


def read_policy(data: bytes) -> Trust:
    """From lines `log KEY`, `witness NAME KEY`, `group NAME NUMBER MEMBER...`, `quorum NAME`. Fault names the line."""
    trust = Trust()
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise Fault("a policy is text in UTF-8") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            try:
                _read_policy_line(words, trust)
            except Fault as fault:
                raise Fault(f"line {number}: {fault.what}") from None
    if not trust.logs:
        raise Fault("a policy names a key of the log; found none")
    if trust.quorum != "none" and trust.quorum not in {**trust.witnesses, **trust.groups}:
        raise Fault("a policy names its quorum: a witness, a group or none")
    return trust


def _read_policy_line(words: list[str], trust: Trust) -> None:
    known = {**trust.witnesses, **trust.groups}
    match words:
        case ["log", key] | ["log", key, _]:
            trust.logs.append(_key_of(key, TYPE_ED25519))
        case ["witness", name, key] | ["witness", name, key, _] if name not in known:
            trust.witnesses[name] = _key_of(key, TYPE_COSIGNATURE)
        case ["group", name, needed, *members] if (
            name not in known and members and all(one in known for one in members)
        ):
            count = {"any": "1", "all": str(len(members))}.get(needed, needed)
            if not _DECIMAL.fullmatch(count) or not 1 <= int(count) <= len(members):
                raise Fault(f"a group needs 1 to {len(members)} of its members; found {needed!r}")
            trust.groups[name] = (int(count), members)
        case ["quorum", name] if not trust.quorum:
            trust.quorum = name
        case _:
            raise Fault("expected log, witness, group or one quorum, with their words")


def _key_of(text: str, kind: int) -> PublicKey:
    key = key_from_vkey(text)
    if key.type != kind:
        raise Fault(f"the key of {key.name!r} is of type {key.type}; expected {kind}")
    return key
