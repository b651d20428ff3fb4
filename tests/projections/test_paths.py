"""Paths into bodies and contexts."""

from __future__ import annotations

import pytest

from vdb.errors import ConfigError
from vdb.projections.handler import Context, StoredEvent
from vdb.projections.paths import CONTEXT_FIELDS, MISSING, as_optional_path, as_path
from vdb.projections.source import OpenedRun
from vdb.types import DataClass, GroupId, StreamId, TenantId
from vdb.wire.event import EventEnvelope

EVENT = StoredEvent(
    EventEnvelope(event_id=bytes(15) + b"\1", type="t", time=77, actor="dr", subject="p-1", body=b"{}"), b"{}"
)
RUN = OpenedRun(
    tenant=TenantId(1), group=GroupId("global"), stream="notes", stream_id=StreamId(1), first_offset=2,
    first_position=8, time=55, data_class=DataClass.PHI, schema_id=1, batch=b"", event_ids=b"", count=2,
)  # fmt: skip
CONTEXT = Context(RUN, 1, EVENT)
BODY = {"a": {"b": [{"c": 1}, {"c": None}]}, "n": None, "t": "x"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("t", "x"),
        ("a.b[0].c", 1),
        ("a.b[1].c", None),
        ("a.b[2].c", MISSING),
        ("a.b.c", MISSING),
        ("t.x", MISSING),
        ("t[0]", MISSING),
        ("n|t", "x"),
        ("gone|n", None),
        ("n|gone", None),
        ("gone|gone2", MISSING),
        ("@subject", "p-1"),
        ("@event_id", "00" * 15 + "01"),
        ("@position", "global:9"),
        ("@time", 55),
        ("@happened", 77),
        ("@stream", "notes"),
        ("@offset", 3),
        ("@type", "t"),
        ("@actor", "dr"),
    ],
)
def test_what_is_found(path: str, value: object) -> None:
    assert as_path(path).find(BODY, EVENT, CONTEXT) == value


def test_every_context_field_is_tested() -> None:
    assert len(CONTEXT_FIELDS) == 9


def test_a_missing_subject_is_missing() -> None:
    event = StoredEvent(EventEnvelope(event_id=bytes(16), type="t", time=0, body=b"{}"), b"{}")
    assert as_path("@subject").find({}, event, CONTEXT) is MISSING


@pytest.mark.parametrize("path", ["", "a..b", "a[", "a[x]", "a b", "a|", "[0]"])
def test_what_is_not_a_path(path: str) -> None:
    with pytest.raises(ConfigError, match=r"a path reads field.field\[0\]"):
        as_path(path)


def test_an_unknown_context_field_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="expected one of @actor, @event_id"):
        as_path("@now")


def test_no_path() -> None:
    assert as_optional_path("") is None
    assert as_optional_path(as_path("a")) == as_path("a")
