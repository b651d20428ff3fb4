"""Cosigned heads, held against the ledger and against what witnesses gave.

- W3: what a witness has cosigned is the tree of so many of the ledger's records: so of any two, one begins with the
  other, whoever led when they were asked for.
- W4: what a node shows as cosigned is signed by a node of its log and by all its witnesses, who did sign that tree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

from sim.checkers.ledger import Ledger
from sim.verdict import Verdict
from vdb.crypto.record import record_leaf
from vdb.errors import EvidenceInvalid
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.cosignature import cosigned_at
from vdb.evidence.merkle import Frontier
from vdb.evidence.note import Note, VerifierKey
from vdb.types import TenantId, audit_log_of


def log_of(origin: str) -> tuple[str, TenantId]:
    """The group of a log, and the number under which the ledger has its records."""
    _, _, group, tenant, family = origin.split("/")
    number = TenantId(int(tenant.removeprefix("t-")))
    return group, audit_log_of(number) if family == "audit" else number


def check_cosigned(verdict: Verdict, who: str, origin: str, given: Sequence[Checkpoint], ledger: Ledger) -> None:
    """W3, of one log. `given`: all that the witness has cosigned of it."""
    _, number = log_of(origin)
    wanted = {checkpoint.size for checkpoint in given}
    leaves = (record_leaf(frame.record) for frame in ledger.frames.get(number, ()))
    roots = {tree.size: tree.root() for tree in accumulate(leaves, Frontier.append, initial=Frontier())
             if tree.size in wanted}  # fmt: skip
    for checkpoint in given:
        verdict.check(
            "W3",
            roots.get(checkpoint.size) == checkpoint.root,
            f"{who} has cosigned {checkpoint.size} leaves of {origin}: not those that were committed",
        )


def check_shown(
    verdict: Verdict,
    who: str,
    note: Note,
    log_keys: Sequence[VerifierKey],
    witnesses: Mapping[VerifierKey, Mapping[str, Sequence[Checkpoint]]],
) -> None:
    """W4. `witnesses`: by their keys, what they gave."""
    checkpoint = Checkpoint.parse(note.text)
    try:
        signed = bool(note.verified_by(log_keys))
        verdict.check("W4", signed, f"{who} shows a head of {checkpoint.origin} that no node of it has signed")
        for key, given in witnesses.items():
            verdict.check(
                "W4",
                cosigned_at(note, key) is not None and checkpoint in given.get(checkpoint.origin, ()),
                f"{who} shows a head of {checkpoint.origin} with {checkpoint.size} leaves as cosigned, and {key.name} "
                "hasn't signed it",
            )
    except EvidenceInvalid as error:
        verdict.check("W4", False, f"{who} shows a head of {checkpoint.origin} that doesn't verify: {error}")
