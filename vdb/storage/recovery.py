"""Recovery of the write-ahead log: what each slot of the two rings is worth after a crash. Pure; the table is data.

Words
- H is the slot's redundant header, P its prepare. Each reads as bad (its checksum fails, it belongs to another group
  or to another slot), reserved (formatted, never written) or valid.
- The ring holds the ops from checkpoint_op + 1 to op_max = checkpoint_op + wal_slots, so each slot has exactly one
  *candidate* op in that range. What a slot holds at or below checkpoint_op is of an older lap and not needed.
- clean: H and P agree. fix: trust P, rewrite H. faulty: it may have been acknowledged; never treat it as absent.
  torn: P is damaged and certainly was never acknowledged. cut: P is whole, was never acknowledged, and can't be kept.

The table (`ROWS`) is section 4 of the protocol page: exactly one row fits each combination of inputs. Some things
are then decided for the ring as a whole.

With peers: whole prepares are reported as they lie there, and whether they belong to the log is for the replica to
say, which knows the tail that the superblock keeps. Faulty slots are looked at again:
1. A whole prepare whose header is damaged is right if the whole prepare above it names it as its parent: fix.
2. Two versions of an op, where P's view is the superblock's log_view and H's is lower: P is newer, since in that view
   no older version was ever written again: fix.
The rest needs the highest op to be certain, and nothing else above it to be damaged. `evidence` is the highest
`synced_op` of a whole prepare: an op at or below it was synced once, and so may have been acknowledged.
3. P is damaged and H is of the lap before (or reserved, in the first lap): an ack needs H synced, so the op was never
   acked, unless that write was lost and P has rotted since. If the op is above `evidence` and there are at most
   pipeline_max such slots, as many as writes can be in flight: torn.
4. P is of the lap before (or reserved) and whole, and H, damaged, is above the highest op and above `evidence`: a crash
   tore the sector of headers, and nothing was ever written there: fix, that is, H is again what P says.
In any other doubt it stays faulty, and so that it stays so until an intact write, H is made invalid unless it already
names the op. The head is the highest op of a valid header; it is certain when no faulty slot could hold an op above it,
and isn't faulty itself.

Alone: nobody can repair, so each slot must be decided here.
1. Ops are submitted in order, and the journal writes the header of an op only after its prepare, and so all
   prepares before it, were synced. So each op up to `evidence` was synced, where evidence is the highest of: ops of
   valid H, and `synced_op` of valid P (see `wal_layout`).
2. The head is the end of the unbroken chain (P whole, parent = checksum of the op before) from checkpoint_op. If it
   ends below evidence, the next op was synced and is lost: it is faulty, and the replica must not start.
3. All above the head was never acknowledged, because an acknowledgement needs H synced: what is damaged there is torn,
   what is whole is cut. One damaged sector besides the crash can't hide an acknowledged op: if H(x) is gone because
   its sector was torn while a later op's header was written, then that later op's P is whole and its `synced_op`
   is at least x.
4. With nothing above checkpoint_op, the head is the header of checkpoint_op if a ring still has it, else None: the
   checkpoint itself says what its op's checksum is.

Recovery is idempotent: what it decides depends only on H and P; rewriting any subset of the headers it asks for, and
clearing any subset of the slots it cuts, leads to the same head (I29).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import attrs
from attrs import field, frozen

from vdb.marks import mark
from vdb.vsr.header import ZERO_CHECKSUM, Operation, PrepareHeader


class Reading(Enum):
    BAD = "bad"
    RESERVED = "reserved"
    VALID = "valid"


class Relation(Enum):
    """How H and P compare; NONE unless both are valid."""

    NONE = "none"
    EQUAL = "equal"
    HEADER_LOWER = "op of H lower"
    HEADER_HIGHER = "op of H higher"
    OTHER_VIEW = "same op, other checksum"


class Decision(Enum):
    CLEAN = "clean"
    FIX = "fix"
    FAULTY = "faulty"
    TORN = "torn"
    CUT = "cut"


@frozen(kw_only=True)
class Inputs:
    """What the table asks about a slot."""

    header: Reading
    prepare: Reading
    relation: Relation = Relation.NONE
    highest: bool = False
    """P is valid, and no valid op within reach of the checkpoint, in either ring, is higher."""
    beyond: bool = False
    """H or P is valid with an op above op_max."""


@frozen(kw_only=True)
class Row:
    """One line of the table. None matches anything; a row without `beyond` is for slots within reach."""

    name: str
    header: Reading | None = None
    prepare: Reading | None = None
    relation: Relation | None = None
    highest: bool | None = None
    beyond: bool = False
    decision: Decision
    alone: Decision | None = None
    """The decision without peers, where it differs."""

    def fits(self, inputs: Inputs) -> bool:
        if self.beyond or inputs.beyond:
            return self.beyond and inputs.beyond
        return (
            self.header in (None, inputs.header)
            and self.prepare in (None, inputs.prepare)
            and self.relation in (None, inputs.relation)
            and self.highest in (None, inputs.highest)
        )


BAD, RESERVED, VALID = Reading.BAD, Reading.RESERVED, Reading.VALID
CLEAN, FIX, FAULTY, TORN, CUT = Decision.CLEAN, Decision.FIX, Decision.FAULTY, Decision.TORN, Decision.CUT
ROT_OR_TORN = "rot or torn"
FIRST_LAP = "torn in the first lap"
HEADER_ROTTED = "header rotted"
HEADER_TORN = "torn header write"
TWO_VERSIONS = "two versions of an op"
NEXT_LAP = "of the next lap"

ROWS = (
    Row(name="two faults", header=BAD, prepare=BAD, decision=FAULTY),
    Row(name=FIRST_LAP, header=RESERVED, prepare=BAD, decision=FAULTY),
    Row(name=ROT_OR_TORN, header=VALID, prepare=BAD, decision=FAULTY),
    Row(name=HEADER_TORN, header=BAD, prepare=RESERVED, decision=FAULTY, alone=FIX),
    Row(name=HEADER_ROTTED, header=BAD, prepare=VALID, highest=False, decision=FAULTY, alone=FIX),
    Row(name="crash between the two writes", header=BAD, prepare=VALID, highest=True, decision=FIX),
    Row(name="crash between the two writes, first lap", header=RESERVED, prepare=VALID, decision=FIX),
    Row(name="never written", header=RESERVED, prepare=RESERVED, decision=CLEAN),
    Row(name=NEXT_LAP, beyond=True, decision=CUT, alone=FAULTY),
    Row(name="prepare write lost or misdirected", header=VALID, prepare=RESERVED, decision=FAULTY),
    Row(name="intact", header=VALID, prepare=VALID, relation=Relation.EQUAL, decision=CLEAN),
    Row(name="header write lost", header=VALID, prepare=VALID, relation=Relation.HEADER_LOWER, decision=FIX),
    Row(name="prepare write lost", header=VALID, prepare=VALID, relation=Relation.HEADER_HIGHER, decision=FAULTY),
    Row(name=TWO_VERSIONS, header=VALID, prepare=VALID, relation=Relation.OTHER_VIEW, decision=FAULTY),
)


@frozen(kw_only=True)
class SlotReading:
    """A slot as read. None: bad. `prepare` is the header of a prepare whose body is whole as well."""

    header: PrepareHeader | None
    prepare: PrepareHeader | None
    synced_op: int = 0


@frozen(kw_only=True)
class SlotRecovery:
    """What became of a slot. `header` is the one to trust, or None; of a faulty slot it names what must be fetched."""

    slot: int
    row: str
    decision: Decision
    header: PrepareHeader | None = field(repr=False)


@frozen(kw_only=True)
class FaultyOp:
    """An op that may have been acknowledged and isn't whole."""

    op: int
    slot: int
    reason: str


@frozen(kw_only=True)
class Recovery:
    """The outcome. `head` None: the ring holds no op from the checkpoint's on."""

    head: PrepareHeader | None
    head_certain: bool
    slots: tuple[SlotRecovery, ...] = field(repr=False)
    faulty: tuple[FaultyOp, ...]

    def headers_above(self, op: int) -> tuple[PrepareHeader, ...]:
        """Headers of the whole prepares above an op, in order; with peers there may be gaps."""
        found = [
            entry.header
            for entry in self.slots
            if entry.decision in (Decision.CLEAN, Decision.FIX) and entry.header is not None and entry.header.op > op
        ]
        return tuple(sorted(found, key=lambda header: header.op))


def find_row(inputs: Inputs) -> Row:
    """The one row for these inputs; a combination without exactly one is a bug in the table."""
    rows = [row for row in ROWS if row.fits(inputs)]
    assert len(rows) == 1, f"{inputs} fits {[row.name for row in rows]}"
    return rows[0]


def recover(
    readings: Sequence[SlotReading], *, checkpoint_op: int, with_peers: bool, log_view: int, pipeline_max: int
) -> Recovery:
    """Decide every slot and find the head. `readings[s]` is slot s; `log_view` is the superblock's."""
    ring = _Ring(readings, checkpoint_op)
    slots = [ring.decide(slot, alone=not with_peers) for slot in range(len(readings))]
    return _recover_among_peers(ring, slots, log_view, pipeline_max) if with_peers else _recover_alone(ring, slots)


def _op(header: PrepareHeader | None) -> int:
    """The op of a valid header; 0 for a bad or a reserved one."""
    return header.op if header is not None and header.operation is not Operation.RESERVED else 0


def _reading(header: PrepareHeader | None) -> Reading:
    if header is None:
        return BAD
    return RESERVED if header.operation is Operation.RESERVED else VALID


def _relation(header: PrepareHeader | None, prepare: PrepareHeader | None) -> Relation:
    if header is None or prepare is None or not _op(header) or not _op(prepare):
        return Relation.NONE
    if header.op != prepare.op:
        return Relation.HEADER_LOWER if header.op < prepare.op else Relation.HEADER_HIGHER
    return Relation.EQUAL if header.checksum == prepare.checksum else Relation.OTHER_VIEW


class _Ring:
    """The readings with what can be said of the ring as a whole."""

    def __init__(self, readings: Sequence[SlotReading], checkpoint_op: int) -> None:
        self.readings = readings
        self.checkpoint_op = checkpoint_op
        self.op_max = checkpoint_op + len(readings)
        seen = [op for reading in readings for op in (_op(reading.header), _op(reading.prepare)) if op <= self.op_max]
        self.highest = max(seen, default=0)
        self.synced = max([reading.synced_op for reading in readings], default=0)

    def candidate(self, slot: int) -> int:
        """The op of (checkpoint_op, op_max] that belongs in this slot."""
        first = self.checkpoint_op + 1
        return first + (slot - first) % len(self.readings)

    def inputs(self, slot: int) -> Inputs:
        reading = self.readings[slot]
        header_op, prepare_op = _op(reading.header), _op(reading.prepare)
        return Inputs(
            header=_reading(reading.header),
            prepare=_reading(reading.prepare),
            relation=_relation(reading.header, reading.prepare),
            highest=prepare_op > 0 and prepare_op == self.highest,
            beyond=max(header_op, prepare_op) > self.op_max,
        )

    def decide(self, slot: int, *, alone: bool) -> SlotRecovery:
        row = find_row(self.inputs(slot))
        decision = row.alone if alone and row.alone is not None else row.decision
        reading = self.readings[slot]
        trusted = reading.prepare if decision in (CLEAN, FIX) else reading.header if decision is not CUT else None
        return SlotRecovery(slot=slot, row=row.name, decision=decision, header=trusted if _op(trusted) else None)


def _recover_alone(ring: _Ring, slots: list[SlotRecovery]) -> Recovery:
    beyond = [
        FaultyOp(op=ring.candidate(entry.slot), slot=entry.slot, reason=f"{entry.row}, above what a checkpoint allows")
        for entry in slots
        if entry.row == NEXT_LAP
    ]
    evidence = max([ring.synced, *(_op(reading.header) for reading in ring.readings)])
    head, gap = _follow_chain(ring, slots)
    head_op = head.op if head is not None else ring.checkpoint_op
    faulty = beyond
    if evidence > head_op:
        slot = (head_op + 1) % len(slots)
        faulty = [*beyond, FaultyOp(op=head_op + 1, slot=slot, reason=f"{slots[slot].row}{gap}")]
    decided = tuple(_settle_above_head(ring, entry, head_op) for entry in slots)
    return Recovery(head=head, head_certain=not faulty, slots=decided, faulty=tuple(faulty))


def _follow_chain(ring: _Ring, slots: list[SlotRecovery]) -> tuple[PrepareHeader | None, str]:
    """The end of the unbroken chain from the checkpoint, and how it broke off."""
    head = _checkpoint_header(ring)
    for op in range(ring.checkpoint_op + 1, ring.op_max + 1):
        entry = slots[op % len(slots)]
        found = entry.header
        if entry.decision not in (CLEAN, FIX) or found is None or found.op != op:
            return head, ""
        parent = head.checksum if head is not None else ZERO_CHECKSUM if op == 1 else found.parent
        if found.parent != parent:
            return head, f", and its parent isn't op {op - 1}"
        head = found
    return head, ""


def _checkpoint_header(ring: _Ring) -> PrepareHeader | None:
    """The header of checkpoint_op, if either ring still has it. A P that differs from its H isn't asked."""
    if ring.checkpoint_op == 0:
        return None
    reading = ring.readings[ring.checkpoint_op % len(ring.readings)]
    for header in (reading.header, reading.prepare):
        if _op(header) == ring.checkpoint_op:
            return header
    return None


def _settle_above_head(ring: _Ring, entry: SlotRecovery, head_op: int) -> SlotRecovery:
    """Alone: what lies above the head was never acknowledged. Nothing older than the checkpoint is lost by this."""
    if ring.candidate(entry.slot) <= head_op:
        return entry
    reading = ring.readings[entry.slot]
    older = reading.header if 0 < _op(reading.header) <= ring.checkpoint_op else None
    if _op(reading.prepare) > ring.checkpoint_op:
        mark("wal.cut")
        return attrs.evolve(entry, decision=CUT, header=older)
    if entry.decision is FAULTY:
        mark("wal.torn")
        return attrs.evolve(entry, decision=TORN, header=older)
    return entry


def _recover_among_peers(ring: _Ring, slots: list[SlotRecovery], log_view: int, pipeline_max: int) -> Recovery:
    _fix_newer_versions(ring, slots, log_view)
    _fix_parents(ring, slots)
    top = slots[ring.highest % len(slots)]
    top_sound = ring.highest <= ring.checkpoint_op or top.decision in (CLEAN, FIX)
    if top_sound:
        _settle_never_acked(ring, slots, pipeline_max)
    faulty = sorted(
        (
            FaultyOp(op=ring.candidate(entry.slot), slot=entry.slot, reason=entry.row)
            for entry in slots
            if entry.decision is FAULTY
        ),
        key=lambda found: found.op,
    )
    headers = [header for reading in ring.readings for header in (reading.header, reading.prepare)]
    head = next((header for header in headers if header is not None and 0 < _op(header) == ring.highest), None)
    certain = top_sound and (not faulty or faulty[-1].op <= ring.highest)
    return Recovery(head=head, head_certain=certain, slots=tuple(slots), faulty=tuple(faulty))


def _fix_newer_versions(ring: _Ring, slots: list[SlotRecovery], log_view: int) -> None:
    """Rule 2."""
    for entry in slots:
        header, prepare = ring.readings[entry.slot].header, ring.readings[entry.slot].prepare
        if entry.row != TWO_VERSIONS or header is None or prepare is None:
            continue
        if header.view < prepare.view == log_view:
            mark("wal.newer_version_kept")
            slots[entry.slot] = attrs.evolve(entry, decision=FIX, header=prepare)


def _fix_parents(ring: _Ring, slots: list[SlotRecovery]) -> None:
    """Rule 1, from the highest op down, so that one child proves a whole run of parents."""
    child: PrepareHeader | None = None
    for op in range(ring.highest, ring.checkpoint_op, -1):
        entry = slots[op % len(slots)]
        prepare = ring.readings[entry.slot].prepare
        named = prepare is not None and child is not None and child.parent == prepare.checksum
        if named and entry.row == HEADER_ROTTED:
            mark("wal.parent_kept")
            slots[entry.slot] = entry = attrs.evolve(entry, decision=FIX, header=prepare)
        found = entry.header if entry.decision in (CLEAN, FIX) else None
        child = found if _op(found) == op else None


def _settle_never_acked(ring: _Ring, slots: list[SlotRecovery], pipeline_max: int) -> None:
    """Rules 3 and 4."""
    faulty = [entry for entry in slots if entry.decision is FAULTY]
    torn = [entry for entry in faulty if _is_torn(ring, entry)]
    unwritten = [entry for entry in faulty if _is_unwritten(ring, entry)]
    rest = [entry for entry in faulty if entry not in torn and entry not in unwritten]
    if len(torn) > pipeline_max or any(ring.candidate(entry.slot) > ring.highest for entry in rest):
        return
    for entry in torn:
        mark("wal.torn_among_peers")
        older = ring.readings[entry.slot].header
        slots[entry.slot] = attrs.evolve(entry, decision=TORN, header=older if _op(older) else None)
    for entry in unwritten:
        mark("wal.header_torn_above_head")
        older = ring.readings[entry.slot].prepare
        slots[entry.slot] = attrs.evolve(entry, decision=FIX, header=older if _op(older) else None)


def _is_torn(ring: _Ring, entry: SlotRecovery) -> bool:
    if entry.row not in (ROT_OR_TORN, FIRST_LAP) or ring.candidate(entry.slot) <= ring.synced:
        return False
    return _op(ring.readings[entry.slot].header) <= ring.checkpoint_op


def _is_unwritten(ring: _Ring, entry: SlotRecovery) -> bool:
    if entry.row not in (HEADER_ROTTED, HEADER_TORN):
        return False
    if ring.candidate(entry.slot) <= max(ring.synced, ring.highest):
        return False
    return _op(ring.readings[entry.slot].prepare) <= ring.checkpoint_op
