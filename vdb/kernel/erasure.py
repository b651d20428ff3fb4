"""Erasures: a subject's keys are destroyed, and each node says that nothing of them is left on its disk.

Rules
- A destroyed key keeps its row, without the key: the row says that there was one, so no other takes its place, and what
  it sealed is told from what can't be read for another reason.
- All keys of the subject that the key store holds go in one request; the primary names them, and apply asserts each.
  With them go the keys of the tenant's files of rows: they hold what was derived, and are built anew under other keys.
- Without a subject it is the end of a retention: keys of streams and subjects go whose period is over. Which of them
  have expired, and that nothing holds them, the primary judges.
- A hold on the subject stands against it. Holds of streams, and retention, the primary judges: names are sealed here.
  The command says by which of them it was judged; if one was placed or changed meanwhile, it is refused.
- An erased subject stays erased: no key is put for it any more, so nothing is appended about it.
- An erasure is pending until every node that is a member has acknowledged: those of the present configuration, or the
  ones that it names itself while the founding configuration holds. Who is no member any more isn't waited for.
- An acknowledgement that comes again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from attrs import evolve

from vdb.errors import RefusalCode
from vdb.kernel.command import KeyRow, KeyScope
from vdb.kernel.draft import Draft
from vdb.kernel.effect import DestroyKeys
from vdb.kernel.erasure_command import AckErasure, EraseSubject
from vdb.kernel.erasure_rows import (
    ERASURE_KEY_SIZE,
    Ack,
    DestroyedKey,
    Erasure,
    ack_key,
    counter_key,
    erased_key,
    numbered_key,
    unpack_ack,
    unpack_erasure,
)
from vdb.kernel.holds import judgement_serial, live_hold
from vdb.kernel.member_rows import FOUNDING, unpack_membership
from vdb.kernel.reply import Numbered, Refusal, Reply
from vdb.kernel.rows import CREATED_AT, LOOKUP_SIZE, pack_destroyed_key
from vdb.kernel.state import State
from vdb.kernel.tables import CONFIGURATION, CURRENT_CONFIGURATION, ERASURES, KEYS, TRANSACTIONS, U64
from vdb.kernel.view import View
from vdb.limits import ERASED_KEYS_MAX, PRINCIPAL_BYTES_MAX
from vdb.types import TenantId

BASIS_BYTES_MAX = 512
SUBJECT_WAS_ERASED = "the data of this subject were erased: nothing is written about it any more"


def erase_subject(draft: Draft, command: EraseSubject) -> Reply:
    assert not draft.rows[TRANSACTIONS], "an erasure stands between the parts of a transaction"
    refusal = check_erase(draft, command)
    if refusal is not None:
        return refusal
    tenant, now = command.tenant, draft.last_timestamp
    destroyed: list[DestroyedKey] = []
    for dek_id in command.dek_ids:
        row = draft.key(dek_id)
        assert row is not None
        destroyed.append(DestroyedKey(dek_id, sha256(row.wrapped).digest(), row.subject_token))
        created_at = int.from_bytes(draft.rows[KEYS][dek_id][CREATED_AT], "big")
        draft.put(KEYS, dek_id, pack_destroyed_key(row, created_at))
    number = 1 + last_number(draft, tenant)
    erasure = Erasure(
        tenant=tenant,
        erasure=number,
        time=now,
        completed=0,
        subject=command.subject or bytes(LOOKUP_SIZE),
        keys=tuple(destroyed),
        members=command.members,
        basis=command.basis,
        by=command.by,
        sealed=command.sealed,
    )
    draft.put(ERASURES, counter_key(tenant), U64.pack(number))
    draft.put(ERASURES, numbered_key(tenant, number), erasure.pack())
    if command.subject:
        draft.put(ERASURES, erased_key(tenant, command.subject), U64.pack(number))
    draft.effects.append(DestroyKeys(tenant, number, command.dek_ids))
    return Numbered(number)


def check_erase(state: View, command: EraseSubject) -> Refusal | None:
    """Why the subject can't be erased so; None if it can."""
    if not state.has_tenant(command.tenant):
        return Refusal(RefusalCode.UNKNOWN_TENANT, f"tenant {command.tenant} has no stream in group {state.group}")
    wrong = _wrong_shape(command)
    if wrong is not None:
        return Refusal(RefusalCode.INVALID_ARGUMENT, wrong)
    if command.subject and is_erased(state, command.tenant, command.subject):
        return Refusal(RefusalCode.SUBJECT_ERASED, "expected a subject that wasn't erased yet, found one that was")
    hold = live_hold(state, command.tenant, command.subject) if command.subject else 0
    if hold:
        return Refusal(RefusalCode.ON_HOLD, f"hold {hold} stands against the erasure: release it first")
    if not was_judged(state, command):
        return Refusal(RefusalCode.POLICY_CHANGED, "a hold or a rule of retention came while the erasure was judged")
    rows = [state.key(dek_id) for dek_id in command.dek_ids]
    for dek_id, row in zip(command.dek_ids, rows, strict=True):
        may_go = row is not None and rows[0] is not None and row.tenant == command.tenant and not row.is_destroyed
        if may_go and not command.subject:
            assert row is not None
            may_go = _has_ended(row, state.key_period(command.tenant))
        elif may_go:
            assert row is not None
            assert rows[0] is not None
            may_go = _is_of_subject(row, rows[0])
        if not may_go:
            return Refusal(RefusalCode.INVALID_ARGUMENT, f"key {dek_id.hex()} isn't one that this erasure destroys")
    return None


def was_judged(state: View, command: EraseSubject) -> bool:
    """Whether the primary has judged it by the holds and rules that there are now."""
    return command.judged in (0, 1 + judgement_serial(state, command.tenant))


def _wrong_shape(command: EraseSubject) -> str | None:
    if len(command.subject) not in (0, LOOKUP_SIZE):
        return f"a subject's lookup has {LOOKUP_SIZE} bytes, or none for expired keys; found {len(command.subject)}"
    if len(command.dek_ids) > ERASED_KEYS_MAX:
        return f"an erasure destroys at most {ERASED_KEYS_MAX} keys; found {len(command.dek_ids)}"
    if len(dict.fromkeys(command.dek_ids)) != len(command.dek_ids):
        return "an erasure names each key once; found one twice"
    if not command.sealed and not 1 <= len(command.basis.encode()) <= BASIS_BYTES_MAX:
        return f"the basis of an erasure has 1 to {BASIS_BYTES_MAX} bytes; found {len(command.basis.encode())}"
    if len(command.by.encode()) > PRINCIPAL_BYTES_MAX:
        return f"a principal has at most {PRINCIPAL_BYTES_MAX} bytes; found {len(command.by.encode())}"
    if not command.members:
        return "an erasure names the nodes that hold the keys; found none"
    return None


def _is_of_subject(row: KeyRow, first: KeyRow) -> bool:
    """Whether it is a key of the tenant's files, or of the same subject as the first one: those have one token."""
    of_subject = (row.scope, row.subject_token) == (KeyScope.SUBJECT, first.subject_token)
    return of_subject or row.scope is KeyScope.PROJECTION


def _has_ended(row: KeyRow, period: int) -> bool:
    """Whether it is a key of the tenant's files, or one that seals nothing any more."""
    of_the_past = row.scope in (KeyScope.STREAM, KeyScope.SUBJECT) and row.period < period
    return of_the_past or row.scope is KeyScope.PROJECTION


def acknowledge(draft: Draft, command: AckErasure) -> Reply:
    key = numbered_key(command.tenant, command.erasure)
    row = draft.rows[ERASURES].get(key)
    if row is None:
        return Refusal(RefusalCode.INVALID_ARGUMENT, f"tenant {command.tenant} has no erasure {command.erasure}")
    mine = ack_key(command.tenant, command.erasure, command.node)
    if mine not in draft.rows[ERASURES]:
        ack = Ack(
            node=command.node,
            time=draft.last_timestamp,
            statement=command.statement,
            signature=command.signature,
        )
        draft.put(ERASURES, mine, ack.pack())
        _complete(draft, unpack_erasure(key, row))
    return Numbered(command.erasure)


def reconsider_erasures(draft: Draft, renewed: Sequence[int]) -> None:
    """The members have changed: an erasure may have waited for those alone who are none any more. What a node has said
    of another disk than the one by which it is known from now on (`renewed`) doesn't count."""
    for key, row in sorted(draft.settled(ERASURES).items()):
        erasure = unpack_erasure(key, row) if len(key) == ERASURE_KEY_SIZE else None
        if erasure is None or erasure.completed:
            continue
        for node in renewed:
            said = ack_key(erasure.tenant, erasure.erasure, node)
            if said in draft.rows[ERASURES]:
                draft.remove(ERASURES, said)
        _complete(draft, erasure)


def _complete(draft: Draft, erasure: Erasure) -> None:
    if not erasure.completed and not pending_nodes(draft, erasure):
        done = evolve(erasure, completed=draft.last_timestamp)
        draft.put(ERASURES, numbered_key(erasure.tenant, erasure.erasure), done.pack())


# What can be asked ---------------------------------------------------------------------------------------------


def last_number(state: View, tenant: TenantId) -> int:
    row = state.rows[ERASURES].get(counter_key(tenant))
    return 0 if row is None else int(U64.unpack(row)[0])


def is_erased(state: View, tenant: TenantId, lookup: bytes) -> bool:
    """Whether the subject of this lookup was erased."""
    return erased_key(tenant, lookup) in state.rows[ERASURES]


def pending_nodes(state: View, erasure: Erasure) -> tuple[int, ...]:
    """The members that haven't acknowledged yet."""
    rows = state.rows[ERASURES]
    return tuple(
        node for node in owing_nodes(state, erasure) if ack_key(erasure.tenant, erasure.erasure, node) not in rows
    )


def owing_nodes(state: View, erasure: Erasure) -> tuple[int, ...]:
    """Who has to acknowledge, by number: the present members."""
    row = state.rows[CONFIGURATION].get(CURRENT_CONFIGURATION)
    membership = FOUNDING if row is None else unpack_membership(row)
    if membership is FOUNDING:
        return tuple(sorted(erasure.members))
    return tuple(sorted((*membership.voters, *membership.learners)))


def erasures_of(state: State, tenant: TenantId) -> tuple[Erasure, ...]:
    """A tenant's erasures, in order."""
    found = (find_erasure(state, tenant, number) for number in range(1, last_number(state, tenant) + 1))
    return tuple(erasure for erasure in found if erasure is not None)


def find_erasure(state: View, tenant: TenantId, erasure: int) -> Erasure | None:
    key = numbered_key(tenant, erasure)
    row = state.rows[ERASURES].get(key)
    return None if row is None else unpack_erasure(key, row)


def acks_of(state: View, erasure: Erasure, nodes: Iterable[int]) -> tuple[Ack, ...]:
    """What these nodes have said, as far as they have."""
    found: list[Ack] = []
    for node in nodes:
        key = ack_key(erasure.tenant, erasure.erasure, node)
        row = state.rows[ERASURES].get(key)
        if row is not None:
            found.append(unpack_ack(key, row))
    return tuple(found)


def unacknowledged(state: State, node: int) -> tuple[Erasure, ...]:
    """Erasures that aren't complete, and that this node hasn't acknowledged. The cost follows all erasures."""
    rows = state.rows[ERASURES]
    found = (unpack_erasure(key, rows[key]) for key in sorted(rows) if len(key) == ERASURE_KEY_SIZE)
    return tuple(one for one in found if not one.completed and node in pending_nodes(state, one))
