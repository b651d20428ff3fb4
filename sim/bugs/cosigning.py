"""Planted bugs of cosigning: witnesses that forget or don't look, heads that are shown before they are checked."""

from __future__ import annotations

from typing import Any

from sim.bugs.patch import Bug, Replacement

_WITNESSED = {
    "sql": False, "events": False, "governance": False, "erasing": False, "rotating": False, "requests": 80,
    "clients": 2, "beyond_repair": False, "witnesses": 2, "witness_every_us": 100_000, "witness_trouble_us": 100_000,
    "witness_skew_us": 0, "witnesses_away": False, "witness_forger": True,
}  # fmt: skip
"""Two witnesses that crash and lose their links; in the end one is shown other histories."""


def pins_forgotten_at_a_crash() -> tuple[Replacement, ...]:
    from vdb.witness.holding import Witness

    def make(_open: Any) -> Any:
        async def open_empty(self: Any) -> None:
            await self._disk.lock()

        return open_empty

    return (Replacement(Witness, "open", make),)


def cosigned_before_it_is_stored() -> tuple[Replacement, ...]:
    from vdb.witness.holding import Witness

    def make(_store: Any) -> Any:
        async def keep_in_memory(self: Any, checkpoint: Any, _note: Any) -> None:
            self._held[checkpoint.origin] = checkpoint

        return keep_in_memory

    return (Replacement(Witness, "_store", make),)


def shown_before_it_is_checked() -> tuple[Replacement, ...]:
    from vdb.errors import EvidenceInvalid
    from vdb.evidence.note import parse_note
    from vdb.node.audit.cosigning import Cosigning
    from vdb.witness import asking

    def make(_cosignature: Any) -> Any:
        return lambda note, answer, _key: parse_note(f"{note.text}\n".encode() + answer).signatures[0]

    def make_time(signed_at: Any) -> Any:
        def at_any_time(self: Any, note: Any) -> int:
            try:
                found: int = signed_at(self, note)
            except EvidenceInvalid:
                return int(self._clock.wall_us())
            return found

        return at_any_time

    return (Replacement(asking, "_cosignature", make), Replacement(Cosigning, "_signed_at", make_time))


def proofs_not_looked_at() -> tuple[Replacement, ...]:
    from vdb.evidence import witness

    return (Replacement(witness, "verify_consistency", lambda _verify: lambda *_proof: True),)


def refusals_kept_to_itself() -> tuple[Replacement, ...]:
    from vdb.errors import ConnectionLost, EvidenceInvalid
    from vdb.node.audit import cosigning

    def make(ask_witnesses: Any) -> Any:
        async def ask_quietly(*asked: Any) -> Any:
            try:
                return await ask_witnesses(*asked)
            except EvidenceInvalid:
                raise ConnectionLost("a witness doesn't answer") from None

        return ask_quietly

    return (Replacement(cosigning, "ask_witnesses", make),)


COSIGNING_BUGS: tuple[Bug, ...] = (
    Bug(id="w1", what="a witness forgets at a crash what it knows", expected=("W2",),
        replacements=pins_forgotten_at_a_crash, overrides=_WITNESSED),
    Bug(id="w2", what="a witness cosigns before its disk has the tree", expected=("W2",),
        replacements=cosigned_before_it_is_stored, overrides=_WITNESSED),
    Bug(id="w3", what="a head is shown as cosigned before the signatures are checked", expected=("W4",),
        replacements=shown_before_it_is_checked, overrides=_WITNESSED),
    Bug(id="w4", what="a witness doesn't look at consistency proofs", expected=("W6",),
        replacements=proofs_not_looked_at, overrides=_WITNESSED),
    Bug(id="w5", what="a node keeps it to itself that a witness knows another history", expected=("W6",),
        replacements=refusals_kept_to_itself, overrides=_WITNESSED),
)  # fmt: skip
