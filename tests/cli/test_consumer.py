"""`vdb consume` and `vdb consumer` against a real node."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

Vdb = Callable[..., Any]


@pytest.fixture(scope="module", autouse=True)
def events(node: Any, run_vdb: Vdb) -> None:
    at = {"VDB_ADDRESS": node.address}
    assert run_vdb("stream", "create", "--stream", "visit-1", env=at).code == 0
    payloads = [word for payload in ("ada", "bob", "c\x1byd") for word in ("--payload", payload)]
    assert run_vdb("publish", "--stream", "visit-1", *payloads, env=at).code == 0


def test_no_consumers(vdb_at: Vdb) -> None:
    found = vdb_at("consumer", "list")
    assert (found.code, found.out) == (0, "no consumers yet: make one with `vdb consumer create --consumer NAME`\n")
    assert vdb_at("consumer", "list", "--json").objects == []


def test_created_shown_listed_and_deleted(vdb_at: Vdb) -> None:
    create = ("consumer", "create", "--consumer", "shown", "--prefix", "visit-", "--type", "booked", "--type", "")
    settings = ("--ordered-by", "subject", "--ack-deadline", "2.5", "--max-in-flight", "50", "--start", "2026-03-01")
    found = vdb_at(*create, *settings)
    assert found.out == (
        "shown: reads streams that begin with visit-; types booked, opaque payloads of group ap-southeast-2\n"
    ), found.err
    assert vdb_at(*create, *settings, "--json").object["ordered_by"] == "subject"
    lines = dict(line.split(maxsplit=1) for line in vdb_at("consumer", "show", "--consumer", "shown").out.splitlines())
    assert lines["events"] == "streams that begin with visit-; types booked, opaque payloads"
    assert lines["in"] == "flight      0 (at most 50)"
    assert lines["started"] == "at     2026-03-01T00:00:00.000Z"
    assert lines["order"] == "one at a time of each subject"
    assert lines["redelivery"] == "5 deliveries, then a dead letter; pauses of 1 s to 60 s"
    shown = vdb_at("consumer", "show", "--consumer", "shown", "--json").object
    assert (shown["consumer"], shown["group"], shown["prefixes"]) == ("shown", "ap-southeast-2", ["visit-"])
    assert (shown["types"], shown["ack_deadline"], shown["backoff"]) == (["booked", ""], 2.5, [1.0, 60.0])
    assert (shown["stream"], shown["members"], shown["acked"]) == (None, [], 0)
    lines = vdb_at("consumer", "list").out.splitlines()
    assert lines[0] == "consumer\tgroup\tposition\thead\tin flight\twaiting\tdead letters\tacked\tmembers"
    assert any(line.startswith("shown\tap-southeast-2\t") for line in lines[1:])
    other = vdb_at("consumer", "create", "--consumer", "shown", "--json")
    assert (other.code, other.error["code"], other.error["definite"]) == (1, "CONSUMER_EXISTS", True)
    assert vdb_at("consumer", "delete", "--consumer", "shown").out == "deleted: shown\n"
    assert vdb_at("consumer", "delete", "--consumer", "shown").out == "there was none: shown\n"
    assert vdb_at("consumer", "delete", "--consumer", "shown", "--json").object["deleted"] is False


def test_what_is_consumed_is_printed_and_acked(vdb_at: Vdb) -> None:
    vdb_at("consumer", "create", "--consumer", "c", "--stream", "visit-1")
    peek = vdb_at("consume", "--consumer", "c", "--wait", "0", "--no-ack", "--json").objects
    assert [(each["payload"], each["attempt"], each["offset"]) for each in peek] == [
        ("ada", 1, 0),
        ("bob", 1, 1),
        ("c\x1byd", 1, 2),
    ]
    first = vdb_at("consume", "--consumer", "c", "--wait", "0", "--limit", "1").out
    assert first.split("\t")[:2] == ["visit-1", "0"]
    assert first.endswith("\tattempt 2\tada\n")
    rest = vdb_at("consume", "--consumer", "c", "--wait", "0.1").out.splitlines()
    assert [line.split("\t")[-1] for line in rest] == ["bob", "c\\x1byd"]
    nothing = vdb_at("consume", "--consumer", "c", "--wait", "0")
    assert (nothing.code, nothing.out) == (0, "")
    assert nothing.err == "note: nothing is there to be delivered\n"
    assert vdb_at("consume", "--consumer", "c", "--wait", "0.1").err == "note: nothing came within 0.1 s\n"
    assert vdb_at("consumer", "show", "--consumer", "c", "--json").object["acked"] == 3


def test_consuming_until_interrupted(vdb_at: Vdb, node: Any, follow_vdb: Callable[..., Any]) -> None:
    vdb_at("consumer", "create", "--consumer", "follow", "--stream", "visit-1")
    process = follow_vdb("consume", "--consumer", "follow", "--member", "desk", "--json", address=node.address)
    names = [json.loads(process.stdout.readline())["payload"] for _ in range(3)]
    assert names == ["ada", "bob", "c\x1byd"]
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    shown = vdb_at("consumer", "show", "--consumer", "follow", "--json").object
    assert (shown["acked"], shown["in_flight"]) == (3, 0)


def test_dead_letters(vdb_at: Vdb) -> None:
    vdb_at("consumer", "create", "--consumer", "dead", "--stream", "visit-1", "--max-deliver", "1")
    assert vdb_at("consumer", "dead-letters", "--consumer", "dead").out == "no dead letters\n"
    vdb_at("consume", "--consumer", "dead", "--wait", "0", "--no-ack")
    lines = vdb_at("consumer", "dead-letters", "--consumer", "dead").out.splitlines()
    assert lines[0] == "position\tstream\toffset\tattempts\tgiven up\treason"
    assert [line.split("\t")[1:4] for line in lines[1:]] == [["visit-1", str(number), "1"] for number in range(3)]
    assert lines[1].endswith("\tdeliveries ran out")
    letters = vdb_at("consumer", "dead-letters", "--consumer", "dead", "--content", "--json").objects
    assert [letter["event"]["payload"] for letter in letters] == ["ada", "bob", "c\x1byd"]
    assert [letter["reason"] for letter in letters] == [None] * 3
    chosen = ("--position", letters[0]["position"])
    found = vdb_at("consumer", "replay", "--consumer", "dead", *chosen, "--reason", "again", "--actor", "ops")
    assert (found.code, found.out) == (0, "dead: 1 dead letter to be delivered anew\n")
    found = vdb_at("consumer", "drop", "--consumer", "dead", *chosen)
    assert found.out == "dead: 0 dead letters dropped\n"
    assert found.err == "note: 1 of 1 positions had no dead letter\n"
    assert vdb_at("consumer", "drop", "--consumer", "dead", "--all", "--json").object == {
        "consumer": "dead",
        "count": 2,
    }
    again = vdb_at("consume", "--consumer", "dead", "--wait", "0", "--json").object
    assert (again["payload"], again["attempt"]) == ("ada", 1)


WRONG = [
    (("consume", "--consumer", "c", "--limit", "0"), "--limit is 1 or more; found 0"),
    (("consume", "--consumer", "c", "--wait=-1"), "--wait is 0 seconds or more; found -1"),
    (("consumer", "replay", "--consumer", "c"), "expected either --position, or --all"),
    (("consumer", "drop", "--consumer", "c", "--all", "--position", "a:1"), "expected either --position, or --all"),
    (("consumer", "dead-letters", "--consumer", "c", "--content"), "--content needs --json"),
    (
        ("consumer", "replay", "--consumer", "c", "--position", "7"),
        "a position reads GROUP:NUMBER, such as 'ap-southeast-2:42'; found '7'",
    ),
    (
        ("consumer", "create", "--consumer", "c", "--start", "now"),
        "--start reads first, last, OFFSET (with --stream), GROUP:NUMBER, or a time such as 2026-03-01T12:00:00Z; "
        "found 'now'",
    ),
    (
        ("consumer", "create", "--consumer", "c", "--start", "7"),
        "start: an offset is of one stream: expected stream=NAME with it, found none",
    ),
    (
        ("consumer", "create", "--consumer", "c", "--backoff", "9", "--backoff-max", "3"),
        "backoff: expected the first pause to be at most the longest, found (9.0, 3.0)",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_wrong_usage(vdb_at: Vdb, arguments: tuple[str, ...], message: str) -> None:
    found = vdb_at(*arguments)
    assert (found.code, found.out, found.err) == (2, "", f"error: {message}\n")


def test_a_consumer_that_isnt_there(vdb_at: Vdb) -> None:
    for command in (("consume",), ("consumer", "show"), ("consumer", "dead-letters"), ("consumer", "drop", "--all")):
        found = vdb_at(*command, "--consumer", "nobody", "--json")
        assert (found.code, found.out, found.error["code"]) == (1, "", "UNKNOWN_CONSUMER")
        assert "nobody" in found.error["message"]
