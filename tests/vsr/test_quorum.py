"""The quorum table and the inequalities that safety needs."""

from __future__ import annotations

import pytest

from vdb.vsr.quorum import quorums


def test_sizes_are_those_of_the_protocol_page() -> None:
    assert [quorums(count).replication for count in range(1, 7)] == [1, 2, 2, 2, 3, 3]
    assert [quorums(count).view_change for count in range(1, 7)] == [1, 2, 2, 3, 3, 4]


def test_two_replicas_need_both_to_change_the_view() -> None:
    assert quorums(2).view_change == 2


@pytest.mark.parametrize("count", range(1, 7))
def test_quorums_intersect(count: int) -> None:
    sizes = quorums(count)
    assert sizes.replication + sizes.view_change > count
    assert sizes.nack + sizes.replication > count


@pytest.mark.parametrize("count", [0, 7, -1])
def test_other_sizes_are_refused(count: int) -> None:
    with pytest.raises(AssertionError):
        quorums(count)
