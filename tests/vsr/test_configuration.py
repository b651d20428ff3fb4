"""Voters and learners, their primaries, and the 28 bytes of them in a header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.limits import NODE_NUMBER_MAX
from vdb.vsr.configuration import CONFIGURATION_SIZE, Configuration, unpack_configuration


@st.composite
def configurations(draw: st.DrawFn) -> Configuration:
    members = draw(st.lists(st.integers(0, NODE_NUMBER_MAX), unique=True, min_size=1, max_size=12))
    count = draw(st.integers(1, min(6, len(members))))
    return Configuration(
        epoch=draw(st.integers(0, 2**60)),
        base_view=draw(st.integers(0, 2**32 - 1)),
        base_index=draw(st.integers(0, count - 1)),
        voters=tuple(members[:count]),
        learners=tuple(members[count : count + 6]),
    )


@given(configurations())
def test_what_is_packed_is_unpacked(configuration: Configuration) -> None:
    packed = configuration.pack()
    assert len(packed) == CONFIGURATION_SIZE == 28
    assert unpack_configuration(packed) == configuration


@given(st.binary(min_size=CONFIGURATION_SIZE, max_size=CONFIGURATION_SIZE))
def test_any_bytes_are_a_configuration_or_none(data: bytes) -> None:
    found = unpack_configuration(data)
    assert found is None or unpack_configuration(found.pack()) == found


@given(configurations(), st.integers(0, 40))
def test_the_primary_stays_in_its_view_and_then_they_take_turns(configuration: Configuration, views: int) -> None:
    base = configuration.base_view
    assert configuration.primary(base) == configuration.voters[configuration.base_index]
    turn = {configuration.primary(base + views + step) for step in range(len(configuration.voters))}
    assert turn == set(configuration.voters)


@pytest.mark.parametrize(
    "fields",
    [
        {"voters": ()},
        {"voters": (0, 1, 2, 3, 4, 5, 6)},
        {"voters": (0, 0)},
        {"voters": (0,), "learners": (0,)},
        {"voters": (0, 1), "base_index": 2},
        {"voters": (0,), "learners": tuple(range(1, 8))},
        {"voters": (NODE_NUMBER_MAX + 1,)},
    ],
)
def test_impossible_configurations_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        Configuration(**{"epoch": 0, "base_view": 0, "base_index": 0, **fields})  # type: ignore[arg-type]


def test_members_are_voters_then_learners() -> None:
    group = Configuration(epoch=4, base_view=2, base_index=0, voters=(5, 1), learners=(3,))
    assert group.members == (5, 1, 3)
    assert group.quorums.replication == 2
