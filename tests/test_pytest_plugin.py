"""The fixture `verity_db`."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import frozen

import vdb


@vdb.event("plugin-happened")
@frozen(kw_only=True)
class Happened:
    what: str


HAPPENINGS = vdb.TableProjection(
    "happenings", vdb.Table("happenings", columns={"what": "text", "times": "integer"}, key="what"), streams=("diary",)
).increment(Happened, times=1)


def test_a_database_is_fresh(verity_db: Any) -> None:
    assert isinstance(verity_db, vdb.EmbeddedDatabase)
    verity_db.create_stream("diary")
    assert verity_db.append("diary", [Happened(what="rain")]).next_offset == 1


@pytest.mark.verity(projections=[HAPPENINGS])
def test_a_mark_says_what_it_is_opened_with(verity_db: Any) -> None:
    verity_db.create_stream("diary")
    published = verity_db.append("diary", [Happened(what="rain"), Happened(what="rain")])
    verity_db.wait_for("happenings", published.position)
    assert verity_db.rows("happenings", "happenings").rows == (("rain", 2),)


def test_our_own_asserts_are_not_rewritten() -> None:
    import vdb.limits

    assert "assertion" not in type(vdb.limits.__loader__).__module__
