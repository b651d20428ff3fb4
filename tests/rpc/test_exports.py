"""The table of exports against a plain count of references."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import WireError
from vdb.rpc.exports import ExportTable
from vdb.rpc.interface import Capability, Interface

INTERFACE = Interface((), {}, {})
steps = st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 3)), max_size=40)


@given(steps)
def test_references_are_counted(actions: list[tuple[bool, int, int]]) -> None:
    capabilities = [Capability(INTERFACE, lambda _call: None) for _ in range(4)]
    table, held, ids = ExportTable(4), Counter[int](), dict[int, int]()
    for adds, which, count in actions:
        if adds:
            export = table.add(capabilities[which])
            assert ids.setdefault(which, export) == export
            held[which] += 1
        elif which in ids and count <= held[which]:
            table.release(ids[which], count)
            held[which] -= count
            if not held[which]:
                del ids[which]
        elif which in ids:
            with pytest.raises(WireError, match=f"of which {held[which]} are held"):
                table.release(ids[which], count)
        assert len(set(ids.values())) == len(ids) == len(table)
        for known, export in ids.items():
            assert table.get(export) is capabilities[known]
            assert table.references(export) == held[known]


def test_an_export_that_is_not_there() -> None:
    with pytest.raises(WireError, match="the target 3 isn't a current export"):
        ExportTable(4).get(3)
