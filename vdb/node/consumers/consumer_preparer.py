"""The preparer's part for consumer groups: their requests in, commands out, on the prepared state.

What a fetch proposes is chosen here, on the very state that it will be executed on: so two fetches in one prepare get
different events, and only the candidates that are handed out or kept go into the log.

What is done with dead letters is told by an event of the tenant's own stream, in the same prepare: both happen, or
neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from vdb.kernel.command import INTERNAL, Command, KeyScope, Request
from vdb.kernel.consumer_command import (
    ConsumerFetch,
    ConsumerLeave,
    ConsumerSettle,
    CreateConsumer,
    DeleteConsumer,
    SettleLetters,
    SettleOne,
    Verdict,
)
from vdb.kernel.consumer_rules import SEALS, choose
from vdb.kernel.consumers import check_create_consumer, letters_to_settle
from vdb.kernel.reply import Refusal
from vdb.kernel.rows import LOOKUP_SIZE
from vdb.node.consumers.consumer_request import (
    DEED_NOTE_SIZE,
    ConsumerRequest,
    PlainConsumerFetch,
    PlainConsumerLeave,
    PlainConsumerSettle,
    PlainCreateConsumer,
    PlainDeleteConsumer,
    PlainSettleLetters,
)
from vdb.node.consumers.consumer_sealing import consumer_lookup, deed_text, fingerprint
from vdb.node.preparing.appending import append_command, create_command
from vdb.node.preparing.noting import note_plain
from vdb.node.preparing.request import PlainAppend, PlainBatch, PlainCreate, PlainRun
from vdb.node.replication.batch import Batch
from vdb.types import GLOBAL_GROUP, TenantId
from vdb.wire.event import ENVELOPE_SCHEMA, EventEnvelope, encode_batch, encode_envelope

if TYPE_CHECKING:
    from vdb.node.preparing.sealer import Sealer

NOWHERE = bytes(LOOKUP_SIZE)
"""Stands for the name of a tenant without a key: the kernel refuses it as an unknown consumer."""
DEEDS = "$consumers"
DEEDS_OF_GLOBAL = "$consumers/global"
"""A name belongs to one group, and the deeds of a group's consumers lie in it."""
REPLAYED = "consumer-dead-letters-replayed"
DROPPED = "consumer-dead-letters-dropped"


def consumer_command(sealer: Sealer, batch: Batch, request: ConsumerRequest) -> Command:
    """The command for a request; the keys and the deed that belong to it are in the batch then."""
    match request:
        case PlainConsumerFetch():
            return _fetch(sealer, batch, request)
        case PlainConsumerSettle():
            return _settle(sealer, batch, request)
        case PlainConsumerLeave():
            lookup = _lookup(sealer, request.tenant, request.name)
            return ConsumerLeave(tenant=request.tenant, lookup=lookup, member=request.member)
        case PlainCreateConsumer():
            return _create(sealer, batch, request)
        case PlainDeleteConsumer():
            return DeleteConsumer(tenant=request.tenant, lookup=_lookup(sealer, request.tenant, request.name))
        case PlainSettleLetters():
            return _settle_letters(sealer, batch, request)
        case _:
            assert_never(request)


def deeds_stream(group: str) -> str:
    """The stream of a tenant that tells what was done with the dead letters of a group's consumers."""
    return DEEDS_OF_GLOBAL if group == GLOBAL_GROUP else DEEDS


def _lookup(sealer: Sealer, tenant: TenantId, name: str) -> bytes:
    return consumer_lookup(sealer.keyring, tenant, name) or NOWHERE


def _create(sealer: Sealer, batch: Batch, request: PlainCreateConsumer) -> Command:
    tenant = request.tenant
    sealer.ensure_tenant_key(batch, tenant)
    lookup = _lookup(sealer, tenant, request.name)
    mark_of_all = fingerprint(sealer.keyring, tenant, request.terms, request.settings)
    outcome = check_create_consumer(batch.view, tenant, lookup, request.terms, mark_of_all)
    sealed = b""
    if not isinstance(outcome, Refusal) and outcome.created:
        sealed = _seal(sealer, batch, tenant, 0, request.settings)
    end = batch.view.next_position
    return CreateConsumer(
        tenant=tenant,
        lookup=lookup,
        terms=request.terms,
        start=end if request.start is None else min(request.start, end),
        fingerprint=mark_of_all,
        sealed=sealed,
    )


def _fetch(sealer: Sealer, batch: Batch, request: PlainConsumerFetch) -> Command:
    tenant, lookup = request.tenant, _lookup(sealer, request.tenant, request.name)
    found = batch.view.consumer(tenant, lookup)
    cursor, following = 0, 0
    candidates: tuple[tuple[int, int], ...] = ()
    if found is not None:
        work = batch.view.work(tenant, lookup)
        cursor = following = work.cursor
        window = request.window
        seen = window.look(cursor, request.candidates_max) if window.created_at == found.created_at else None
        if seen is not None:
            candidates, end = seen
            now = batch.next_timestamp
            chosen = choose(found.terms, work, now, request.member, request.count_max, end, candidates)
            following = chosen.work.cursor
            candidates = tuple([one for one in candidates if one[0] < following])
    return ConsumerFetch(
        tenant=tenant,
        lookup=lookup,
        member=request.member,
        count_max=request.count_max,
        scanned_from=cursor,
        scanned_to=following,
        candidates=candidates,
    )


def _settle(sealer: Sealer, batch: Batch, request: PlainConsumerSettle) -> Command:
    tenant = request.tenant
    lookup = _lookup(sealer, tenant, request.name)
    known = lookup is not NOWHERE
    reasons = [
        _seal(sealer, batch, tenant, one.position + 1, one.reason) if one.reason and known else b""
        for one in request.settlements
    ]
    settlements = tuple(
        [
            SettleOne(one.position, one.attempt, Verdict(one.verdict), one.amount, reason)
            for one, reason in zip(request.settlements, reasons, strict=True)
        ]
    )
    return ConsumerSettle(tenant=tenant, lookup=lookup, member=request.member, settlements=settlements)


def _seal(sealer: Sealer, batch: Batch, tenant: TenantId, offset: int, text: str) -> bytes:
    data_class = sealer.names_class
    key = sealer.ensure_key(batch, tenant, KeyScope.CATALOGUE, "", data_class)
    return sealer.seal_text(tenant, SEALS, offset, text, key, data_class, batch.next_timestamp)


def _settle_letters(sealer: Sealer, batch: Batch, request: PlainSettleLetters) -> Command:
    tenant, drop = request.tenant, request.drop
    lookup = _lookup(sealer, tenant, request.name)
    found = letters_to_settle(batch.view, tenant, lookup, request.positions, drop=drop)
    positions = () if isinstance(found, Refusal) else found
    if positions:
        _tell(sealer, batch, request, positions)
    return SettleLetters(tenant=tenant, lookup=lookup, positions=positions, drop=drop)


def _tell(sealer: Sealer, batch: Batch, request: PlainSettleLetters, positions: tuple[int, ...]) -> None:
    """Append the deed, in a request of its own before the one that does it."""
    tenant, stream = request.tenant, deeds_stream(sealer.region)
    create = PlainCreate(
        tenant=tenant, name=stream, data_class=sealer.names_class, region=sealer.region, if_not_exists=True
    )
    _add(sealer, batch, create, create_command(sealer, batch, create))
    event_id = sealer.entropy.random_bytes(16)
    envelope = EventEnvelope(
        event_id=event_id,
        type=DROPPED if request.drop else REPLAYED,
        time=batch.next_timestamp,
        actor=request.actor,
        body=deed_text(request.name, positions, request.reason),
    )
    run = PlainRun(
        count=1, batch=encode_batch([encode_envelope(envelope)]), event_ids=event_id, schema_id=ENVELOPE_SCHEMA
    )
    append = PlainBatch(tenant=tenant, appends=(PlainAppend(stream=stream, runs=(run,)),))
    _add(sealer, batch, append, append_command(sealer, batch, append))


def _add(sealer: Sealer, batch: Batch, request: PlainCreate | PlainBatch, command: Command) -> None:
    reply = batch.add(Request(INTERNAL, command))
    assert not isinstance(reply, Refusal), f"the deed of dead letters was refused: {reply.message}"
    note_plain(sealer, batch, request, None, DEED_NOTE_SIZE)
