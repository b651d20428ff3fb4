"""Asking a witness over HTTP/1.1 for its cosignature of a checkpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from attrs import frozen

from vdb.errors import ConnectionLost, EvidenceInvalid
from vdb.evidence.checkpoint import Checkpoint, parse_number
from vdb.evidence.cosignature import cosigned_at
from vdb.evidence.note import Note, NoteSignature, VerifierKey, parse_note
from vdb.evidence.witness import AddCheckpoint, Status
from vdb.ports import Network
from vdb.web.exchange import WebPlace, ask

ANSWER_BYTES_MAX = 64 * 1024
ATTEMPTS_MAX = 20

Consistency = Callable[[int], Awaitable[tuple[Note, tuple[bytes, ...]]]]
"""From a size: the tree as it is, signed by the log, and that it begins with the one of that size."""


class WitnessPlace(WebPlace):
    """Where a witness is asked, and what stands before /add-checkpoint."""

    @classmethod
    def parse(cls, url: str, what: str = "a witness's address") -> Self:
        """From http://HOST:PORT or https://HOST:PORT, perhaps with a path. ConfigError."""
        return super().parse(url, what)


@frozen
class WitnessAsked:
    place: WitnessPlace
    key: VerifierKey


async def ask_witnesses(network: Network, witnesses: Sequence[WitnessAsked], consistency: Consistency) -> Note:
    """The log's tree as it is, with its own signatures and those of all these witnesses.

    EvidenceInvalid if one refuses, because it knows another history of the log, or signs wrongly. ConnectionLost if one
    doesn't answer, and where the log grows too fast for all of them to see the same tree.
    """
    sizes = [0] * len(witnesses)
    for _attempt in range(ATTEMPTS_MAX):
        shown = [await consistency(size) for size in sizes]
        if any(note.text != shown[0][0].text for note, _ in shown):
            continue  # the log grew from one question to the next
        answers = [
            await _ask(network, one, AddCheckpoint(size, path, note))
            for one, size, (note, path) in zip(witnesses, sizes, shown, strict=True)
        ]
        if all(isinstance(answer, NoteSignature) for answer in answers):
            cosignatures = tuple(answer for answer in answers if isinstance(answer, NoteSignature))
            return Note(shown[0][0].text, (*shown[0][0].signatures, *cosignatures))
        now = Checkpoint.parse(shown[0][0].text).size
        sizes = [answer if isinstance(answer, int) else now for answer in answers]
    raise ConnectionLost(f"the log grew {ATTEMPTS_MAX} times while its witnesses were asked: try again")


async def _ask(network: Network, asked: WitnessAsked, request: AddCheckpoint) -> NoteSignature | int:
    """The cosignature; or the size of the tree that the witness knows, if that isn't the old one of the request."""
    name, now = asked.key.name, request.checkpoint.size
    who = f"the witness {name!r}"
    said = await ask(
        network, asked.place, who=who, body=request.encode(), bytes_max=ANSWER_BYTES_MAX, path="/add-checkpoint"
    )
    status, answer = said.status, said.body
    if status == Status.COSIGNED:
        return _cosignature(request.note, answer, asked.key)
    if status != Status.OTHER_TREE:
        told = answer.decode("utf-8", "replace").strip()
        raise EvidenceInvalid(f"the witness {name!r} refuses to cosign ({status}): {told}")
    known = parse_number(answer.decode("ascii", "replace").strip(), "the size that a witness knows")
    if known == request.old:
        raise EvidenceInvalid(f"the witness {name!r} knows another tree of {known} leaves: two histories exist")
    if known > now:
        raise EvidenceInvalid(
            f"the witness {name!r} has cosigned {known} leaves, and the log has {now}: leaves were lost, or taken back"
        )
    return known


def _cosignature(note: Note, answer: bytes, key: VerifierKey) -> NoteSignature:
    signed = parse_note(f"{note.text}\n".encode() + answer)
    found = signed.of(key)
    if found is None or cosigned_at(signed, key) is None:
        raise EvidenceInvalid(f"the answer of the witness holds no signature of {key.name!r}: is this its key?")
    return found
