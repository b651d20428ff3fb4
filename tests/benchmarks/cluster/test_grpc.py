"""The client's end of gRPC, byte by byte, without a node."""

from __future__ import annotations

import struct

import pytest

from tests.benchmarks.cluster.grpc import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW,
    PING,
    PREFACE,
    SETTINGS,
    WINDOW_UPDATE,
    GrpcConnection,
    frame,
)

Frame = tuple[int, int, int, bytes]


def frames(data: bytes) -> list[Frame]:
    found = []
    while data:
        size = int.from_bytes(data[:3], "big")
        found.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]))
        data = data[9 + size :]
    return found


@pytest.fixture
def connection() -> GrpcConnection:
    made = GrpcConnection("/service/Method")
    opening = made.data_to_send()
    assert opening.startswith(PREFACE)
    assert [kind for kind, *_ in frames(opening.removeprefix(PREFACE))] == [SETTINGS, WINDOW_UPDATE]
    return made


def answer(stream: int, message: bytes) -> bytes:
    body = struct.pack(">BI", 0, len(message)) + message
    return (
        frame(HEADERS, END_HEADERS, stream, b"\x88")
        + frame(DATA, 0, stream, body)
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\xbe")
    )


def test_a_call_names_its_headers_once_and_then_by_number(connection: GrpcConnection) -> None:
    connection.ask(b"first")
    connection.ask(b"second")
    first, first_body, second, second_body = frames(connection.data_to_send())
    assert (first[2], second[2]) == (1, 3)
    assert b"/service/Method" in first[3]
    assert second[3] == bytes([0x83, 0x86, 193, 192, 191, 190])
    assert first_body == (DATA, END_STREAM, 1, b"\0\0\0\0\x05first")
    assert second_body[3] == b"\0\0\0\0\x06second"


def test_answers_come_in_any_order_and_in_any_pieces(connection: GrpcConnection) -> None:
    connection.ask(b"")
    connection.ask(b"")
    data = answer(3, b"second") + answer(1, b"first")
    got = [message for at in range(len(data)) for message in connection.receive(data[at : at + 1])]
    assert got == [b"second", b"first"]
    assert connection.refused == 0


def test_a_stream_that_ends_without_a_message_is_a_refusal(connection: GrpcConnection) -> None:
    connection.ask(b"")
    assert connection.receive(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x88")) == []
    assert connection.refused == 1


def test_a_request_beyond_the_window_waits_for_more_of_it(connection: GrpcConnection) -> None:
    body = bytes(40_000)
    connection.ask(body)
    connection.ask(body)

    def sent() -> int:
        return sum(len(payload) for kind, *_, payload in frames(connection.data_to_send()) if kind == DATA)

    assert sent() == INITIAL_WINDOW
    assert sent() == 0
    connection.receive(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 100)))
    assert sent() == 100
    connection.receive(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", INITIAL_WINDOW)))
    assert sent() == 2 * (len(body) + 5) - INITIAL_WINDOW - 100


def test_settings_and_pings_are_answered(connection: GrpcConnection) -> None:
    connection.receive(frame(SETTINGS, 0, 0, b"") + frame(PING, 0, 0, b"12345678"))
    assert frames(connection.data_to_send()) == [(SETTINGS, ACK, 0, b""), (PING, ACK, 0, b"12345678")]


def test_goodbye_is_an_error_that_says_why(connection: GrpcConnection) -> None:
    with pytest.raises(ValueError, match="the node ends the connection: too many pings"):
        connection.receive(frame(GOAWAY, 0, 0, bytes(8) + b"too many pings"))
