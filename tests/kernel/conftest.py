"""A primary without sealing: it predicts, builds commands with well-formed records, and applies them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

import pytest
from attrs import evolve

from vdb.crypto.record import BODY_OVERHEAD, RecordHeader, decode_record, encode_record
from vdb.kernel.apply import apply_request, stored_reply
from vdb.kernel.command import (
    INTERNAL,
    AppendBatch,
    AppendPart,
    Command,
    CreateStream,
    Expected,
    KeyRow,
    KeyScope,
    OpenSession,
    Origin,
    PutKey,
    Request,
    Run,
    StreamAppend,
)
from vdb.kernel.effect import Effect
from vdb.kernel.event_ids import known_append
from vdb.kernel.predict import NewStream, check_append, check_create
from vdb.kernel.reply import Refusal, Reply, SessionOpened, StreamCreated
from vdb.kernel.state import State
from vdb.kernel.streams import catalogue_class
from vdb.types import GLOBAL_GROUP, DataClass, GroupId, StreamId, TenantId

REGION = GroupId("eu-west-1")


def lookup_of(name: str) -> bytes:
    return sha256(name.encode()).digest()


def tenant_dek(tenant: int) -> bytes:
    return b"T" + tenant.to_bytes(15, "big")


def stream_dek(tenant: int) -> bytes:
    return b"S" + tenant.to_bytes(15, "big")


class Primary:
    """Holds a state and drives it as the node's primary does. `clock` is the time of the last request."""

    def __init__(self, group: GroupId = REGION, sessions_max: int = 4, event_ids_max: int = 64) -> None:
        self.group = group
        self.state = State.empty(group, sessions_max, event_ids_max)
        self.clock = 1_000

    def key_row(self, tenant: int, scope: KeyScope = KeyScope.TENANT, dek_id: bytes | None = None) -> KeyRow:
        is_tenant = scope is KeyScope.TENANT
        return KeyRow(
            dek_id=dek_id or (tenant_dek(tenant) if is_tenant else stream_dek(tenant)),
            tenant=TenantId(tenant),
            scope=scope,
            data_class=DataClass.NON_PHI if self.group == GLOBAL_GROUP else DataClass.PHI,
            lookup=bytes(32),
            subject_token=bytes(32),
            kek_id=bytes(16) if is_tenant else tenant_dek(tenant),
            kek_version=1,
            wrapped=bytes(40),
            wrapped_secret=bytes(40) if scope is KeyScope.SUBJECT else b"",
        )

    def record(
        self,
        tenant: int,
        stream: int,
        offset: int,
        count: int,
        data_class: DataClass,
        *,
        dek_id: bytes | None = None,
        region: str | None = None,
        time: int | None = None,
        event_ids: bytes = b"",
    ) -> bytes:
        header = RecordHeader(
            tenant=tenant,
            stream=stream,
            offset=offset,
            count=count,
            data_class=data_class,
            region=self.group if region is None else region,
            subject_token=bytes(32),
            dek_id=dek_id or stream_dek(tenant),
            schema_id=0,
            time=self.clock + 1 if time is None else time,
        )
        return encode_record(header.encode(), event_ids, bytes(BODY_OVERHEAD))

    # Commands, as the primary makes them from its predictions for the next request

    def create_command(
        self,
        tenant: int,
        name: str,
        data_class: DataClass = DataClass.NON_PHI,
        *,
        region: str | None = None,
        if_not_exists: bool = False,
    ) -> CreateStream:
        place = self.group if region is None else region
        lookup = lookup_of(name)
        answer = check_create(self.state, TenantId(tenant), lookup, data_class, place, if_not_exists)
        stream, record = StreamId(0), b""
        if isinstance(answer, NewStream):
            stream = answer.stream
            record = self.record(tenant, 0, answer.catalogue_offset, 1, catalogue_class(self.group))
        return CreateStream(
            tenant=TenantId(tenant),
            stream=stream,
            data_class=data_class,
            region=place,
            lookup=lookup,
            record=record,
            if_not_exists=if_not_exists,
        )

    def append_command(self, tenant: int, appends: Sequence[tuple[int, Expected, Sequence[int]]]) -> AppendBatch:
        """An append is (stream, condition, events of each run)."""
        asked = [(StreamId(stream), expected, sum(counts)) for stream, expected, counts in appends]
        answer = check_append(self.state, TenantId(tenant), asked)
        built: list[StreamAppend] = []
        for index, (stream, expected, counts) in enumerate(appends):
            runs: list[Run] = []
            if isinstance(answer, Refusal):
                runs = [Run(count=count, record=b"") for count in counts]
            else:
                offset = answer[index]
                held = self.state.stream(TenantId(tenant), StreamId(stream))
                assert held is not None
                for count in counts:
                    runs.append(Run(count=count, record=self.record(tenant, stream, offset, count, held.data_class)))
                    offset += count
            built.append(StreamAppend(stream=StreamId(stream), expected=expected, runs=tuple(runs)))
        return AppendBatch(tenant=TenantId(tenant), appends=tuple(built))

    def part_command(
        self,
        tenant: int,
        number: int,
        pieces: Sequence[tuple[int, Expected, int, Sequence[int]]],
        *,
        transaction: int = 0,
        last: bool = False,
    ) -> AppendPart:
        """A piece is (stream, condition, first offset, events of each run). The first part starts at the next time."""
        transaction = transaction or self.clock + 1
        appends: list[StreamAppend] = []
        for stream, expected, offset, counts in pieces:
            held = self.state.stream(TenantId(tenant), StreamId(stream))
            assert held is not None
            runs: list[Run] = []
            for count in counts:
                record = self.record(tenant, stream, offset, count, held.data_class, time=transaction)
                runs.append(Run(count=count, record=record))
                offset += count
            appends.append(StreamAppend(stream=StreamId(stream), expected=expected, runs=tuple(runs)))
        return AppendPart(
            transaction=transaction, number=number, tenant=TenantId(tenant), appends=tuple(appends), last=last
        )

    def append_with_ids(
        self, tenant: int, appends: Sequence[tuple[int, Expected, Sequence[Sequence[bytes] | int]]]
    ) -> Command:
        """What becomes of an append whose runs are the ids of their events, or a number of events without ids."""
        found = [(StreamId(stream), sum(map(_count, runs)), b"".join(map(_ids, runs))) for stream, _, runs in appends]
        known = known_append(self.state, TenantId(tenant), found)
        if known is not None:
            return known
        command = self.append_command(tenant, [(*one[:2], list(map(_count, one[2]))) for one in appends])
        return evolve(
            command,
            appends=tuple(
                evolve(
                    built,
                    runs=tuple(
                        evolve(sealed, record=_with_ids(sealed.record, _ids(run)))
                        for sealed, run in zip(built.runs, runs, strict=True)
                    ),
                )
                for built, (_, _, runs) in zip(command.appends, appends, strict=True)
            ),
        )

    # Requests

    def apply(self, command: Command, origin: Origin = INTERNAL) -> tuple[tuple[Effect, ...], Reply]:
        self.clock += 1
        self.state, effects, reply = apply_request(self.state, Request(origin, command), self.clock)
        return effects, reply

    def ask(self, build: Callable[[], Command], origin: Origin = INTERNAL) -> Reply:
        """Send a request: answered at once if its origin has an answer, else built and applied."""
        stored = stored_reply(self.state, origin)
        return stored if stored is not None else self.apply(build(), origin)[1]

    def put_keys(self, tenant: int) -> None:
        self.apply(PutKey(row=self.key_row(tenant)))
        self.apply(PutKey(row=self.key_row(tenant, KeyScope.STREAM)))

    def create(self, tenant: int, name: str, data_class: DataClass = DataClass.NON_PHI) -> StreamId:
        """A new stream, its keys put before."""
        if self.state.key(stream_dek(tenant)) is None:
            self.put_keys(tenant)
        reply = self.apply(self.create_command(tenant, name, data_class))[1]
        assert isinstance(reply, StreamCreated)
        return reply.stream

    def append(self, tenant: int, *appends: tuple[int, Expected, Sequence[int]], origin: Origin = INTERNAL) -> Reply:
        return self.ask(lambda: self.append_command(tenant, appends), origin)

    def open(self, client: bytes) -> int:
        reply = self.apply(OpenSession(), Origin(client))[1]
        assert isinstance(reply, SessionOpened)
        return reply.session

    def rows(self) -> dict[tuple[int, bytes], bytes]:
        return {(table, key): value for table, rows in self.state.tables().items() for key, value in rows.items()}


def _count(run: Sequence[bytes] | int) -> int:
    return run if isinstance(run, int) else len(run)


def _ids(run: Sequence[bytes] | int) -> bytes:
    return b"" if isinstance(run, int) else b"".join(run)


def _with_ids(record: bytes, ids: bytes) -> bytes:
    if not record:
        return record
    sealed = decode_record(record)
    return encode_record(bytes(sealed.header_bytes), ids, bytes(sealed.body))


@pytest.fixture
def primary() -> Primary:
    """A primary of a regional group with four sessions."""
    return Primary()


@pytest.fixture
def global_primary() -> Primary:
    return Primary(GLOBAL_GROUP)


@pytest.fixture(scope="session")
def primary_class() -> type[Primary]:
    """For state machines, which make their own."""
    return Primary
