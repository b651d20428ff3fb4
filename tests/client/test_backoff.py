"""Delays grow to a limit, and stay between half of and the whole of each step."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vdb.client.backoff import Backoff


class Fixed:
    def __init__(self, part: float) -> None:
        self.part = part

    def below(self, bound: int) -> int:
        return min(int(self.part * bound), bound - 1)

    def random_bytes(self, size: int) -> bytes:
        return bytes(size)


@given(part=st.floats(0, 1), tries=st.integers(1, 100))
def test_delays_lie_within_their_step(part: float, tries: int) -> None:
    backoff = Backoff(Fixed(part), first=0.02, longest=1.0)
    for count in range(tries):
        whole = min(1.0, 0.02 * 2**count)
        assert whole / 2 <= backoff.next_delay() <= whole
    backoff.reset()
    assert backoff.next_delay() <= 0.02
