"""What the links make of bytes, and what they keep of refusals. A run of the benchmark tries them on real nodes."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests.benchmarks.cluster.capnp_link import CapnpLink
from tests.benchmarks.cluster.etcd_link import EtcdLink, bytes_field, fields, key, number_field
from tests.benchmarks.cluster.link import PAYLOAD
from tests.benchmarks.cluster.postgres_link import PostgresLink
from vdb.rpc import encode
from vdb.rpc.interface import Interface
from vdb.rpc.message import Fault, FaultKind
from vdb.wire.framing import FrameSplitter
from vdb.wire.schema import rpc, verity


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack(">I", 4 + len(body)) + body


READY = message(b"Z", b"I")
ERROR = message(b"E", b"SERROR\0Mcannot execute INSERT in a read-only transaction\0\0")


def test_postgres_counts_what_succeeded_and_keeps_the_refusal() -> None:
    link = PostgresLink()
    link.ask_append(2)
    sent = link.data_to_send()
    assert sent.count(PAYLOAD) == 2
    assert link.receive(message(b"R", bytes(4)) + READY) == 0, "the connection was made, and nothing more"
    assert link.receive(message(b"C", b"INSERT 0 2\0") + READY) == 1
    assert link.receive(ERROR + READY) == 0
    assert link.refusal == "cannot execute INSERT in a read-only transaction"
    assert link.receive(message(b"C", b"INSERT 0 2\0") + READY) == 1


def test_postgres_rows_come_in_pieces() -> None:
    link = PostgresLink()
    row = struct.pack(">Hi", 2, 1) + b"7" + struct.pack(">i", -1)
    data = READY + message(b"D", row) + READY
    assert [link.receive(data[at : at + 1]) for at in range(len(data))].count(1) == 1
    assert link.rows == [["7", None]]


def test_protocol_buffers_come_back_as_they_went() -> None:
    inner = bytes_field(1, b"key") + bytes_field(2, bytes(300))
    assert dict(fields(inner)) == {1: b"key", 2: bytes(300)}
    assert list(fields(number_field(4, 1 << 63) + bytes_field(1, inner))) == [(4, 1 << 63), (1, inner)]


def test_etcd_numbers_its_keys_in_order() -> None:
    link = EtcdLink("log")
    link.ask_append(1)
    link.ask_append(1)
    sent = link.data_to_send()
    assert sent.index(key("log", 0)) < sent.index(key("log", 1))
    assert sent.count(PAYLOAD) == 2


def test_etcd_sends_one_kind_of_request() -> None:
    link = EtcdLink("log")
    link.ask_append(1)
    with pytest.raises(AssertionError, match="one kind"):
        link.ask_read(0, 10)


def bootstrapped(link: CapnpLink) -> None:
    """Answer the bootstrap with export 5."""
    answer = rpc.Message.new_message()
    answer.init("return").answerId = 0
    payload = getattr(answer, "return").init("results")
    payload.init("capTable", 1)[0].senderHosted = 5
    assert link.receive(answer.to_bytes()) == 0


def sent_messages(link: CapnpLink) -> list[Any]:
    splitter = FrameSplitter(size_max=1 << 20, segments_max=1)
    splitter.feed(link.data_to_send())
    found = []
    while (segments := splitter.next_frame()) is not None:
        found.append(rpc.Message.from_segments(segments))
    return found


@pytest.fixture
def link() -> CapnpLink:
    made = CapnpLink("notes")
    made.ask_append(1)
    assert [str(each.which()) for each in sent_messages(made)] == ["bootstrap"]
    bootstrapped(made)
    return made


def test_capnp_calls_wait_for_the_bootstrap_and_are_whole(link: CapnpLink) -> None:
    link.ask_append(100)
    finish, *calls = sent_messages(link)
    assert str(finish.which()) == "finish"
    publish = verity.VerityDb.schema.methods["publish"].param_type
    for question, count, each in zip((1, 2), (1, 100), calls, strict=True):
        call = each.call
        params = call.params.content.as_struct(publish)
        assert (call.questionId, call.target.importedCap) == (question, 5)
        assert (params.tenant, params.stream, list(params.payloads)) == (1, "notes", [PAYLOAD] * count)


def test_capnp_counts_results_and_keeps_the_refusal(link: CapnpLink) -> None:
    results = [bytes(segment) for segment in rpc.Message.new_message().to_segments()]
    assert link.receive(encode.results(1, results, no_finish=True)) == 1
    link.ask_append(1)
    assert link.receive(encode.failure(2, Fault(FaultKind.FAILED, "NOT_PRIMARY: another node is"))) == 0
    assert link.refusal == "NOT_PRIMARY: another node is"


def test_capnp_a_read_that_ends_early_is_an_error(link: CapnpLink) -> None:
    link.ask_read(0, 1000)
    results = Interface.of(verity.VerityDb).by_name["read"].results.new_message(nextOffset=7)
    with pytest.raises(ValueError, match="read up to 7 where 1000 was expected"):
        link.receive(encode.results(2, [bytes(segment) for segment in results.to_segments()]))
