"""What a witness answers (C2SP tlog-witness, add-checkpoint): a cosignature for a tree that continues the one it knows.

    old <size of the tree that the witness knows>
    <base64 of a hash>              the consistency proof; none from size 0, or for the same tree
    <empty line>
    <the checkpoint, a signed note>

Rules
- A log is known by its origin, and has keys that are known. Signatures of other keys don't count.
- The witness has one tree of each log: the last it cosigned. Looking at it and putting a new one in its place is one
  step, done by who holds it: `judge` is given the one that is held, and says which one has to be.
- Nothing is cosigned that doesn't continue what was cosigned before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

from attrs import frozen

from vdb.errors import EvidenceInvalid
from vdb.evidence import base64
from vdb.evidence.checkpoint import Checkpoint, parse_number
from vdb.evidence.merkle import EMPTY_ROOT, HASH_SIZE, verify_consistency
from vdb.evidence.note import Note, VerifierKey, parse_note
from vdb.evidence.proof import PATH_MAX

SIZE_TYPE = "text/x.tlog.size"
TEXT_TYPE = "text/plain; charset=utf-8"


class Status(IntEnum):
    """As HTTP has it."""

    COSIGNED = 200
    MALFORMED = 400
    NO_SIGNATURE = 403
    """None of a key of the log."""
    UNKNOWN_LOG = 404
    OTHER_TREE = 409
    """The witness knows one of another size, which stands in the answer."""
    INCONSISTENT = 422
    """The proof doesn't hold, or the witness knows another tree of this size."""


@frozen
class AddCheckpoint:
    """What a witness is asked."""

    old: int
    path: tuple[bytes, ...]
    note: Note

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint.parse(self.note.text)

    def encode(self) -> bytes:
        lines = [f"old {self.old}", *map(base64.encode, self.path), ""]
        return ("\n".join(lines) + f"\n{self.note}").encode()

    @classmethod
    def parse(cls, data: bytes) -> AddCheckpoint:
        """EvidenceInvalid says what is wrong with it."""
        head, empty, rest = data.partition(b"\n\n")
        try:
            first, *hashes = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            first, hashes = "", []
        if not empty or not first.startswith("old "):
            raise EvidenceInvalid("expected a line 'old SIZE', the proof's hashes, an empty line and a checkpoint")
        path = [base64.decode(one) for one in hashes]
        if len(path) > PATH_MAX or any(one is None or len(one) != HASH_SIZE for one in path):
            raise EvidenceInvalid(f"a proof has at most {PATH_MAX} hashes of {HASH_SIZE} bytes in base64")
        old = parse_number(first.removeprefix("old "), "the old size")
        return cls(old, tuple(one for one in path if one is not None), parse_note(rest))


@frozen
class Verdict:
    """What to answer. `cosign`: the tree that is to be held from now on and cosigned; None: nothing changes."""

    status: Status
    told: str = ""
    cosign: Checkpoint | None = None


def judge(request: AddCheckpoint, log_keys: Sequence[VerifierKey], held: Checkpoint | None) -> Verdict:
    """Whether to cosign. `log_keys`: of the checkpoint's log; none: it isn't known. `held`: its tree as it is known."""
    try:
        new = request.checkpoint
    except EvidenceInvalid as error:
        return Verdict(Status.MALFORMED, str(error))
    if not log_keys:
        return Verdict(Status.UNKNOWN_LOG, f"this witness doesn't know the log {new.origin!r}")
    try:
        signed = request.note.verified_by(log_keys)
    except EvidenceInvalid as error:
        return Verdict(Status.NO_SIGNATURE, str(error))
    if not signed:
        return Verdict(Status.NO_SIGNATURE, "no signature is of a key that this witness knows for the log")
    if request.old > new.size:
        return Verdict(Status.MALFORMED, f"the old size {request.old} is above the checkpoint's {new.size}")
    size, root = (0, EMPTY_ROOT) if held is None else (held.size, held.root)
    if request.old != size:
        return Verdict(Status.OTHER_TREE, f"{size}\n")
    if size == new.size and root != new.root:
        return Verdict(
            Status.INCONSISTENT, f"this witness has cosigned another tree of {size} leaves: two histories exist"
        )
    if not verify_consistency(size, root, new.size, new.root, request.path):
        return Verdict(Status.INCONSISTENT, f"the tree of {new.size} leaves doesn't begin with the one of {size}")
    return Verdict(Status.COSIGNED, cosign=new)


def read_logs(text: str) -> Mapping[str, tuple[VerifierKey, ...]]:
    """Known logs by their origins, from lines `log <vkey>`: the key's name is the origin. EvidenceInvalid."""
    logs: dict[str, tuple[VerifierKey, ...]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or words[0] != "log":
            raise EvidenceInvalid(f"line {number} of the logs: expected 'log KEY'")
        key = VerifierKey.parse(words[1])
        logs[key.name] = (*logs.get(key.name, ()), key)
    if not logs:
        raise EvidenceInvalid("a witness knows at least one log: expected a line 'log KEY'")
    return logs
