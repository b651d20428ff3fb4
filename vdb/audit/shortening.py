"""Entries that fit: an entry whose texts are too long for the log is shortened, and says so.

Rules
- Who did what, when, to what, and with what outcome always stays. What goes goes in this order: the statement's text
  (its fingerprint stays), the subjects (which then are all), the tables, further details, the ends of long texts.
- `detail["cut"]` names what was cut.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from vdb.audit.entry import ALL_SUBJECTS, AuditEntry, encode_entry

SUBJECTS_MAX = 1000
"""An answer about more subjects than this is one about all."""
_TEXT_MAX = 24
"""Bytes, as JSON has them, of a text whose end was cut."""
SHORTENED_MAX = 1280
"""Bytes of an entry of which all was cut that can be."""
_CUT = "cut"
_JSON = msgspec.json.Encoder()


def fitted(entry: AuditEntry, size_max: int) -> bytes:
    """The entry as JSON, at most so many bytes, shortened as far as it must be. `size_max`: SHORTENED_MAX at least."""
    assert size_max >= SHORTENED_MAX
    if len(entry.subjects) > SUBJECTS_MAX:
        entry = _all_subjects(entry)
    encoded = encode_entry(entry)
    for shorten in _STEPS:
        if len(encoded) <= size_max:
            return encoded
        entry = shorten(entry)
        encoded = encode_entry(entry)
    assert len(encoded) <= size_max, f"an entry of {len(encoded)} bytes, shortened: expected at most {size_max}"
    return encoded


def _without_statement(entry: AuditEntry) -> AuditEntry:
    return _cut(replace(entry, statement=""), "statement") if entry.statement else entry


def _all_subjects(entry: AuditEntry) -> AuditEntry:
    return _cut(replace(entry, subjects=ALL_SUBJECTS), "subjects") if entry.subjects else entry


def _without_tables(entry: AuditEntry) -> AuditEntry:
    return _cut(replace(entry, tables=()), "tables") if entry.tables else entry


def _without_detail(entry: AuditEntry) -> AuditEntry:
    return replace(entry, detail={_CUT: f"{entry.detail.get(_CUT, '')} detail".strip()})


def _short_texts(entry: AuditEntry) -> AuditEntry:
    """Every text cut at its end."""
    texts = {
        name: _beginning(value)
        for name in entry.__struct_fields__
        if isinstance(value := getattr(entry, name), str) and value
    }
    return _cut(replace(entry, **texts), "texts")


def _beginning(text: str) -> str:
    text = text[:_TEXT_MAX]
    while len(_JSON.encode(text)) > _TEXT_MAX + 2:
        text = text[:-1]
    return text


def _cut(entry: AuditEntry, what: str) -> AuditEntry:
    return replace(entry, detail={**entry.detail, _CUT: f"{entry.detail.get(_CUT, '')} {what}".strip()})


_STEPS: tuple[Callable[[AuditEntry], AuditEntry], ...] = (
    _without_statement,
    _all_subjects,
    _without_tables,
    _without_detail,
    _short_texts,
)
