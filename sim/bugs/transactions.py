"""Planted bugs of appends that travel as parts."""

from __future__ import annotations

from typing import Any

from sim.bugs.patch import Bug, Replacement


def parts_visible_before_close() -> tuple[Replacement, ...]:
    from vdb.kernel import apply
    from vdb.kernel.command import AppendBatch
    from vdb.kernel.reply import Appended, PartKept
    from vdb.kernel.streams import append_batch

    def make(_append_part: Any) -> Any:
        def append_at_once(draft: Any, _origin: Any, part: Any) -> Any:
            now, draft.last_timestamp = draft.last_timestamp, part.transaction
            reply = append_batch(draft, AppendBatch(tenant=part.tenant, appends=part.appends))
            draft.last_timestamp = now
            if part.last or not isinstance(reply, Appended):
                return reply
            return PartKept(part.transaction, part.number)

        return append_at_once

    return (Replacement(apply, "append_part", make),)


def open_transactions_outlive_the_view() -> tuple[Replacement, ...]:
    from vdb.node.replication.proposer import Proposer

    return (Replacement(Proposer, "_void_what_is_open", lambda _void: lambda self, state: None),)


def part_uses_up_the_number() -> tuple[Replacement, ...]:
    from vdb.errors import RefusalCode
    from vdb.kernel import apply
    from vdb.kernel.reply import PartKept, Refusal
    from vdb.kernel.sessions import record_reply

    def make(append_part: Any) -> Any:
        def record_part(draft: Any, origin: Any, part: Any) -> Any:
            reply = append_part(draft, origin, part)
            if isinstance(reply, PartKept) and origin.session and part.number == 0:
                record_reply(draft, origin, Refusal(RefusalCode.TOO_LARGE, "in parts"))
            return reply

        return record_part

    return (Replacement(apply, "append_part", make),)


TRANSACTION_BUGS: tuple[Bug, ...] = (
    Bug(id="t1", what="parts are visible before the close", expected=("gap-free", "I22"),
        replacements=parts_visible_before_close),
    Bug(id="t2", what="the parts of an earlier view aren't void", expected=("assertion", "transactions"),
        replacements=open_transactions_outlive_the_view),
    Bug(id="t3", what="the first part uses up the request's number", expected=("I21", "transactions"),
        replacements=part_uses_up_the_number),
)  # fmt: skip
