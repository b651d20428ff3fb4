"""When a member's clockwork ticks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vdb.node.replication.member import MemberSettings, next_beat


@given(
    origin=st.floats(0, 1e6),
    period=st.sampled_from([0.002, 0.01, 0.05]),
    beats=st.integers(0, 100_000),
    late=st.floats(0, 0.99),
)
def test_each_beat_comes_once_and_one_that_was_missed_is_left_out(
    origin: float, period: float, beats: int, late: float
) -> None:
    settings = MemberSettings(scrub_period_s=1.0, tick_s=period, beat_s=origin)
    beat = origin + beats * period
    following = next_beat(settings, beat + late * period)
    assert abs(following - (beat + period)) < period / 100
    assert following > beat + late * period


def test_the_groups_of_a_node_beat_together() -> None:
    settings = MemberSettings(scrub_period_s=1.0, tick_s=0.01, beat_s=5.0)
    assert next_beat(settings, 7.0031) == next_beat(settings, 7.0079)
