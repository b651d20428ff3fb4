"""Which op is the lowest that isn't here: repair starts there, however long the log is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from vdb.vsr.header import PrepareHeader
from vdb.vsr.log import Log

SLOTS = 16


def header(op: int, parent: bytes, view: int = 1) -> PrepareHeader:
    return PrepareHeader.make(
        body=b"", parent=parent, checkpoint_id=bytes(32), group=bytes(32), view=view, op=op, commit=op - 1,
        timestamp=op, request_count=1,
    )  # fmt: skip


def lowest(log: Log) -> int:
    return next((op for op in range(log.base_op + 1, log.head + 1) if not log.is_here(op)), log.head + 1)


steps = st.lists(
    st.tuples(st.sampled_from(("append", "write", "hold", "rot", "cut", "base", "adopt")), st.integers(1, 20)),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_it_is_what_a_look_at_every_op_finds(found: list[tuple[str, int]]) -> None:
    log = Log(slots=SLOTS)
    log.open(base_op=0, base_checksum=bytes(32), base_timestamp=0)
    for step, number in found:
        op = min(max(number, log.base_op + 1), log.head)
        known = log.header(op) if op > log.base_op else None
        match step:
            case "append" if log.head < log.base_op + SLOTS:
                log.append(header(log.head + 1, log.head_checksum))
            case "write" if known is not None:
                log.set_written(known)
            case "hold" if known is not None:
                log.set_held(known)
            case "rot" if known is not None:
                log.set_faulty(op)
            case "cut":
                log.truncate(max(op, log.base_op))
            case "base" if known is not None:
                log.set_base(op)
            case "adopt" if known is not None:
                log.install((header(op, known.parent, view=2),), op - 1)
        assert log.first_not_here() == lowest(log)
