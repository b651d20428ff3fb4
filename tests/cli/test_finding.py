"""`vdb events` against a real node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import frozen

import vdb

Vdb = Callable[..., Any]


@vdb.event("finding-test-admitted", subject="patient")
@frozen
class Admitted:
    patient: str
    ward: str = "ä"


@pytest.fixture(scope="module")
def published(node: Any) -> Iterator[list[vdb.Published]]:
    with vdb.connect_sync(node.address) as db, vdb.context(actor="dr.lee"):
        yield [
            db.append("find-1", [Admitted("p-1")], create="phi"),
            db.append("find-2", [Admitted("p-2"), Admitted("p-3")], create="phi"),
            db.publish("find-1", [b"plain", b"\xff"]),
        ]


def places(ran: Any) -> list[tuple[str, int]]:
    assert ran.code == 0, ran.err
    return [(found["stream"], found["offset"]) for found in ran.objects]


def test_by_prefix_type_and_place(published: list[vdb.Published], vdb_at: Vdb) -> None:
    everything = [("find-1", 0), ("find-2", 0), ("find-2", 1), ("find-1", 1), ("find-1", 2)]
    at = ("events", "--prefix", "find-", "--json")
    assert places(vdb_at(*at)) == everything
    assert places(vdb_at(*at, "--backward", "--limit", "3")) == everything[:1:-1]
    assert places(vdb_at(*at, "--type", "finding-test-admitted")) == everything[:3]
    assert places(vdb_at(*at, "--type", "")) == everything[3:]
    assert places(vdb_at(*at, "--from", str(published[0].position))) == everything[1:]
    assert places(vdb_at(*at, "--limit", "0")) == []
    assert places(vdb_at("events", "--prefix", "find-1", "--prefix", "find-2", "--json")) == everything
    assert places(vdb_at("events", "--stream", "find-1", "--from", "1", "--json")) == everything[3:]
    assert places(vdb_at(*at, "--from", "2020-01-01T00:00:00Z")) == everything
    assert places(vdb_at(*at, "--from", "2020-01-01T00:00:00Z", "--backward")) == []


def test_as_text_and_as_json(published: list[vdb.Published], vdb_at: Vdb) -> None:
    (found,) = vdb_at("events", "--stream", "find-1", "--limit", "1", "--json").objects
    assert found["event"]["body"] == {"patient": "p-1", "ward": "ä"}
    assert (found["event"]["actor"], found["event"]["subject"]) == ("dr.lee", "p-1")
    lines = vdb_at("events", "--stream", "find-1").out.splitlines()
    assert [line.split("\t")[3:] for line in lines] == [
        ["finding-test-admitted", '{"patient": "p-1", "ward": "ä"}'],
        ["", "plain"],
        ["", "/w=="],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "yesterday"), "--from reads OFFSET (with --stream), GROUP:NUMBER, or a time such as"),
        (("--from", "7"), "from_offset counts the events of one stream: expected a stream"),
        (("--follow", "--backward"), "expected either follow or backward"),
        (("--limit", "-1"), "--limit is 0 or more; found -1"),
        (("--stream", "nowhere-at-all"), "no stream 'nowhere-at-all'"),
    ],
)
def test_what_can_not_be_found(
    published: list[vdb.Published], vdb_at: Vdb, arguments: tuple[str, ...], message: str
) -> None:
    ran = vdb_at("events", *arguments)
    assert ran.code != 0
    assert message in ran.err


def test_following(published: list[vdb.Published], node: Any, follow_vdb: Callable[..., Any]) -> None:
    process = follow_vdb("events", "--stream", "find-2", "--follow", "--from", "1", address=node.address)
    assert b"p-3" in process.stdout.readline()
    with vdb.connect_sync(node.address) as db:
        db.append("find-2", [Admitted("p-9")])
    assert b"p-9" in process.stdout.readline()
