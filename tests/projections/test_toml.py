"""Projections from TOML: what is written is what runs, and mistakes are named."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from vdb.errors import ConfigError
from vdb.projections.latest import LatestById
from vdb.projections.tables import ColumnType
from vdb.projections.timeline import Timeline
from vdb.projections.toml import parse_projections

EXAMPLE = """
[[projection]]
name = "notes_current"
version = 2
tenant = 7
streams = ["notes", "fhir.*"]
on-error = "park"
batch-events = 100
batch-seconds = 0.5
check = "SELECT 1 FROM notes WHERE note_id IS NULL"
[projection.latest-by-id]
table = "notes"
key = "note_id"
events = ["note-created"]
deletes = ["note-withdrawn"]
indexes = [["text"]]
[projection.latest-by-id.columns]
text = "body.text"
signed_us = { path = "signed_at", type = "time" }
[projection.latest-by-id.constants.note-created]
status = "draft"

[[projection]]
name = "timeline"
streams = ["notes"]
inline = true
[projection.timeline]
subject-column = "patient"
[[projection.timeline.entry]]
type = "note-created"
kind = "note"
id = "note_id"
subject = "patient_id"
time = "written_at"
fields = { summary = "title" }
"""


def parse(text: str) -> Any:
    return parse_projections(tomllib.loads(text)["projection"])


def test_the_example() -> None:
    notes, timeline = parse(EXAMPLE)
    assert (notes.name, notes.version, notes.tenant) == ("notes_current", 2, 7)
    assert (notes.inline, timeline.inline) == (False, True)
    assert (notes.on_error.value, notes.batch_events, notes.batch_seconds) == ("park", 100, 0.5)
    assert notes.check.startswith("SELECT 1")
    assert notes.streams.wants("notes")
    assert notes.streams.wants("fhir.Patient")
    assert not notes.streams.wants("notes2")
    assert isinstance(notes.template, LatestById)
    assert notes.tables[0].column_names == ("note_id", "text", "signed_us", "status")
    assert notes.tables[0].columns[2].type is ColumnType.TIME
    assert isinstance(timeline.template, Timeline)
    assert timeline.tenant is None
    assert timeline.tables[0].column_names == ("kind", "id", "patient", "time_us", "time", "summary")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("deletes =", "delets =", "notes_current: Object contains unknown field `delets` - at `$.latest-by-id`"),
        ("version = 2", "version = 0", "a version counts from 1; found 0"),
        ("version = 2", "version = 'x'", "Expected `int`, got `str` - at `$.version`"),
        ('streams = ["notes", "fhir.*"]', "", "missing required field `streams`"),
        ('streams = ["notes", "fhir.*"]', "streams = []", "reads no stream"),
        ("fhir.*", "f*r", "chosen by its name, or by PREFIX*; found 'f*r'"),
        ("tenant = 7", "tenant = 0", "a tenant id lies between 1 and"),
        ("tenant = 7", "tenant = 'all'", "tenant"),
        ("[projection.timeline]", "[projection.latest-by-id]\n[projection.timeline]",
         "one of latest-by-id and timeline"),
        ('table = "notes"', 'table = "drop table"', "a table: expected at most 63 of the characters"),
        ('table = "notes"', 'table = "projection_meta"', "a table: expected"),
        ("text =", "note_id =", "'notes': a column stands twice"),
        ('[["text"]]', '[["gone"]]', "its key or index names 'gone'"),
        ("body.text", "body..text", "a path reads"),
        ("summary =", "about =", "sets 'about', which isn't a field"),
        ('type = "time"', 'type = "date"', "Invalid enum value 'date'"),
        ('name = "timeline"', 'name = "notes_current"\ntenant = 7', "two projections are called 'notes_current'"),
        ('name = "timeline"', 'name = "notes_current"', "expected it for every tenant or for tenant 7, found both"),
    ],
)  # fmt: skip
def test_mistakes_are_named(old: str, new: str, message: str) -> None:
    assert old in EXAMPLE
    with pytest.raises(ConfigError) as caught:
        parse(EXAMPLE.replace(old, new, 1))
    assert message in str(caught.value)


def test_timelines_of_one_name_are_joined() -> None:
    start = EXAMPLE.index('[[projection]]\nname = "timeline"')
    one = EXAMPLE[start:]
    (joined,) = parse(
        one + one.replace("note-created", "note-shown").replace('streams = ["notes"]', 'streams = ["x*"]')
    )
    assert [entry.type for entry in joined.template.entries] == ["note-created", "note-shown"]
    assert joined.streams.wants("notes")
    assert joined.streams.wants("xyz")
    with pytest.raises(ConfigError, match="two entries for the event type 'note-created'"):
        parse(one + one)
    with pytest.raises(ConfigError, match="differ in columns"):
        parse(
            one
            + one.replace("note-created", "note-shown").replace(
                "subject-column", "fields=['summary','x']\nsubject-column"
            )
        )
