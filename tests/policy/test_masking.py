"""Masks of values, as SQL has them."""

from __future__ import annotations

import sqlite3

from hypothesis import given, settings
from hypothesis import strategies as st

from vdb.policy.masking import mask_of, masked_value
from vdb.policy.words import Mask
from vdb.sql.restricting import masked

TEXTS = st.one_of(
    st.none(),
    st.text(st.characters(codec="ascii", min_codepoint=32), max_size=12),
    st.integers(-(10**12), 10**12),
    st.dates().map(str),
    st.from_regex(r"\A[0-9]{3,5}(-[0-9]{1,2})?\Z"),
)


@given(TEXTS, st.sampled_from(Mask))
@settings(max_examples=300, deadline=None)
def test_values_are_masked_as_sql_masks_them(value: str | int | None, mask: Mask) -> None:
    db = sqlite3.connect(":memory:")
    found = db.execute(f"SELECT {masked('v', mask)} FROM (SELECT ? AS v)", [value]).fetchone()[0]
    db.close()
    assert masked_value(mask, value) == found


def test_a_mask_is_found_by_the_columns_plain_name_too() -> None:
    masks = {"name": Mask.HIDE, "patients.ssn": Mask.LAST_FOUR}
    assert mask_of(masks, "patients", "name") is Mask.HIDE
    assert mask_of(masks, "patients", "ssn") is Mask.LAST_FOUR
    assert mask_of(masks, "notes", "ssn") is None


def test_a_mask_counts_however_its_column_is_spelled() -> None:
    masks = {"SSN": Mask.HIDE, "Patients.Name": Mask.REDACT}
    assert mask_of(masks, "patients", "ssn") is Mask.HIDE
    assert mask_of(masks, "PATIENTS", "NAME") is Mask.REDACT
    assert mask_of({"ssn": Mask.HIDE}, "patients", "Ssn") is Mask.HIDE
