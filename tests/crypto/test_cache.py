"""The bounded cache against a list that does the same slowly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vdb.crypto.cache import BoundedCache

STEPS = st.lists(st.tuples(st.sampled_from(["get", "put", "forget"]), st.integers(0, 5)), max_size=40)


@given(steps=STEPS, size_max=st.integers(1, 4))
def test_it_forgets_what_was_used_least_recently(steps: list[tuple[str, int]], size_max: int) -> None:
    cache: BoundedCache[int, str] = BoundedCache(size_max)
    model: list[int] = []
    for act, key in steps:
        if act == "get":
            assert cache.get(key) == (f"value {key}" if key in model else None)
        elif act == "put":
            cache.put(key, f"value {key}")
        else:
            cache.forget(key)
        used = act == "put" or (act == "get" and key in model)
        model = [k for k in model if k != key] + [key] if used else [k for k in model if act == "get" or k != key]
        model = model[-size_max:]
        assert len(cache) == len(model) <= size_max
    cache.clear()
    assert len(cache) == 0


def test_its_repr_shows_no_entry() -> None:
    cache: BoundedCache[str, bytes] = BoundedCache(3)
    cache.put("Jane Roe", b"secret")
    assert repr(cache) == "BoundedCache(1 of 3)"
