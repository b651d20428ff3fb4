from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from vdb.audit.entry import AuditEntry, Kind, Outcome, decode_entry, encode_entry, timed
from vdb.audit.shortening import SHORTENED_MAX, fitted

READ = AuditEntry(kind=Kind.READ, action="read", actor="dr.lee")


def test_what_fits_stays_as_it_is() -> None:
    entry = replace(READ, statement="SELECT 1", subjects=("p-1",), detail={"a": "b"})
    assert fitted(entry, SHORTENED_MAX) == encode_entry(entry)


def test_the_text_of_a_statement_goes_first() -> None:
    entry = replace(READ, statement="x" * 2000, fingerprint="f" * 64, subjects=("p-1",))
    found = decode_entry(fitted(entry, SHORTENED_MAX))
    assert found == replace(entry, statement="", detail={"cut": "statement"})


def test_subjects_that_have_no_room_are_all() -> None:
    entry = replace(READ, subjects=tuple(f"patient-{number}" for number in range(500)), count=500)
    found = decode_entry(fitted(entry, SHORTENED_MAX))
    assert (found.subjects, found.count, found.detail) == (("*",), 500, {"cut": "subjects"})


def test_more_than_a_thousand_subjects_are_all() -> None:
    entry = replace(READ, subjects=tuple(f"{number}" for number in range(1001)))
    assert decode_entry(fitted(entry, 1_000_000)).subjects == ("*",)


def test_an_entry_gets_its_time_when_it_is_sealed() -> None:
    encoded = encode_entry(READ)
    assert decode_entry(timed(encoded, 17)) == replace(READ, time=17)
    assert timed(encoded, 17) == encode_entry(replace(READ, time=17))


LONG = st.text(max_size=400) | st.sampled_from(["\x01" * 3000, "ü" * 3000, "\U0001f600" * 2000])


@settings(max_examples=60)
@given(st.data())
def test_whatever_it_says_it_fits(data: st.DataObject) -> None:
    texts = {
        name: data.draw(LONG)
        for name in READ.__struct_fields__
        if isinstance(getattr(READ, name), str) and name != "action"
    }
    entry = replace(
        READ,
        **texts,
        action=data.draw(LONG) or "x",
        outcome=Outcome.REFUSED,
        first=2**64 - 1,
        count=2**63,
        view=2**64 - 1,
        grant=2**63,
        tables=tuple(data.draw(st.lists(LONG, max_size=3))),
        subjects=tuple(data.draw(st.lists(LONG, max_size=3))),
        detail=data.draw(st.dictionaries(LONG, LONG, max_size=3)),
    )
    found = fitted(entry, SHORTENED_MAX)
    assert len(found) <= SHORTENED_MAX
    assert (decode_entry(found).kind, decode_entry(found).outcome) == (Kind.READ, Outcome.REFUSED)
