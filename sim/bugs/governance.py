"""Planted bugs of governance: policies out of order, grants without an end, consents that stay."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from sim.bugs.patch import Bug, Replacement

_GOVERNED = {
    "governance": True, "governance_deeds": 120, "sql": False, "events": False, "requests": 60, "clients": 2,
    "beyond_repair": False,
}  # fmt: skip
"""People govern, beside a few other clients."""
_CLUSTER = {**_GOVERNED, "nodes": 3, "spares": 0, "regions": 1, "disturbances": ["crash"] * 3 + ["partition"] * 5}
"""Primaries change, of the global group and of the region's."""


def any_serial() -> tuple[Replacement, ...]:
    from vdb.kernel import governance

    return (Replacement(governance, "check_policy", lambda _check: lambda _state, _command: None),)


def copies_of_the_first() -> tuple[Replacement, ...]:
    from vdb.node.governance import carrying

    def make(copy: Any) -> Any:
        first: list[Any] = []

        def copy_first(row: Any) -> Any:
            first.append(row)
            return evolve(copy(row), text=first[0].text)

        return copy_first

    return (Replacement(carrying, "_copy", make),)


def first_policy_alone() -> tuple[Replacement, ...]:
    from vdb.kernel.governance import policy_serial
    from vdb.node.governance.carrying import PolicyCarrier

    def make(newer: Any) -> Any:
        return lambda self, region: None if policy_serial(region.state) else newer(self, region)

    return (Replacement(PolicyCarrier, "_newer", make),)


def review_without_an_end() -> tuple[Replacement, ...]:
    from vdb.kernel.governance_rows import GrantRow

    def make(reviewed: Any) -> Any:
        return lambda self, *how: evolve(reviewed(self, *how), until=self.until)

    return (Replacement(GrantRow, "reviewed", make),)


def reviewing_oneself() -> tuple[Replacement, ...]:
    from vdb.errors import RefusalCode
    from vdb.kernel import governance
    from vdb.node.governance import governance_preparer

    def make(check: Any) -> Any:
        def lenient(*how: Any) -> Any:
            refusal = check(*how)
            return None if refusal is not None and refusal.code is RefusalCode.ACCESS_DENIED else refusal

        return lenient

    return (
        Replacement(governance, "check_review", make),
        Replacement(governance_preparer, "check_review", make),
    )


def grants_by_the_gates_clock() -> tuple[Replacement, ...]:
    """The end counts from when the node's clock said that it was asked for, a day off, and nobody looks."""
    from vdb.kernel import governance
    from vdb.node.governance import governance_preparer

    def make(command_of: Any) -> Any:
        def open_long(preparer: Any, batch: Any, request: Any) -> Any:
            command = command_of(preparer, batch, request)
            return evolve(command, until=command.until + 86_400_000_000)

        return open_long

    return (
        Replacement(governance, "check_open_grant", lambda _check: lambda *_how: None),
        Replacement(governance_preparer, "_grant", make),
    )


def withdrawn_in_part() -> tuple[Replacement, ...]:
    """The last consent of a subject stays, as its row isn't removed."""
    from vdb.kernel.draft import Draft
    from vdb.kernel.tables import CONSENTS

    def make(remove: Any) -> Any:
        def keep(self: Any, table: Any, key: bytes) -> None:
            if table != CONSENTS:
                remove(self, table, key)

        return keep

    return (Replacement(Draft, "remove", make),)


def a_book_that_stays() -> tuple[Replacement, ...]:
    """What a node goes by is read once."""
    from vdb.node.governance.policy_book import PolicyBook

    def make(held: Any) -> Any:
        def first(self: Any, group: Any) -> Any:
            page = self._page(group)
            return page.held if page.held is not None else held(self, group)

        return first

    return (Replacement(PolicyBook, "held", make),)


def grants_that_stay_in_the_book() -> tuple[Replacement, ...]:
    """Who was let through stays so, also after a review."""
    from vdb.node.governance.policy_book import PolicyBook

    def make(grants: Any) -> Any:
        def kept(self: Any, group: Any, tenant: int, principal: str) -> Any:
            known: dict[Any, Any] = self.__dict__.setdefault("_kept", {})
            for grant in grants(self, group, tenant, principal):
                known[group, tenant, principal, grant.until, grant.subject] = grant
            return tuple(one for key, one in known.items() if key[:3] == (group, tenant, principal))

        return kept

    return (Replacement(PolicyBook, "grants", make),)


def answers_before_the_log() -> tuple[Replacement, ...]:
    """A consent is answered as soon as it has been sent on its way."""
    from vdb.node.governance.governing import Governance

    def make(put: Any) -> Any:
        async def hasty(self: Any, tenant: Any, group: Any, subject: str, *what: Any, **how: Any) -> Any:
            from vdb.kernel.command import INTERNAL
            from vdb.kernel.reply import ConsentPut
            from vdb.node.governance.governance_request import PlainConsent
            from vdb.node.preparing.request import nobody

            request = PlainConsent(
                tenant=tenant, subject=subject, purposes=what[0], until=what[1], withdraw=how["withdraw"]
            )
            self._phi_group(group).submit(request, nobody, INTERNAL, note=how["note"])
            return ConsentPut(changed=True)

        return hasty

    return (Replacement(Governance, "put_consent", make),)


def migrations_that_nobody_judges() -> tuple[Replacement, ...]:
    from vdb.sql.governor import Governor

    def make(_admit: Any) -> Any:
        async def as_it_is(_self: Any, sql: str) -> str:
            return sql

        return as_it_is

    return (Replacement(Governor, "admit_migrating", make),)


def one_consent_for_all() -> tuple[Replacement, ...]:
    from vdb.sql import rulings

    return (Replacement(rulings, "subject_in", lambda _one: lambda _table, _column, _subjects: "(1)"),)


def what_was_found_stays() -> tuple[Replacement, ...]:
    from vdb.node.gate import by_subject

    return (Replacement(by_subject._Found, "holds", lambda _holds: lambda *_: True),)


def rows_unchecked() -> tuple[Replacement, ...]:
    from vdb.sql.written_rows import Keeping

    return (Replacement(Keeping, "run", lambda _run: lambda _self, work: work()),)


GOVERNANCE_BUGS: tuple[Bug, ...] = (
    Bug(id="g1", what="a policy is taken whatever it replaces", expected=("G1", "G2"),
        replacements=any_serial, overrides=_CLUSTER),
    Bug(id="g2", what="later copies of policies have the text of the first", expected=("G2",),
        replacements=copies_of_the_first, overrides=_GOVERNED),
    Bug(id="g3", what="a region that has a policy is given no other one", expected=("I38",),
        replacements=first_policy_alone, overrides=_GOVERNED),
    Bug(id="g4", what="a review doesn't end a grant", expected=("G3",),
        replacements=review_without_an_end, overrides=_GOVERNED),
    Bug(id="g5", what="who broke the glass reviews it", expected=("G3",),
        replacements=reviewing_oneself, overrides=_GOVERNED),
    Bug(id="g6", what="a grant lasts a day longer than it may", expected=("G3",),
        replacements=grants_by_the_gates_clock, overrides=_GOVERNED),
    Bug(id="g7", what="the last consent that a subject withdraws stays", expected=("G4", "G7"),
        replacements=withdrawn_in_part, overrides=_GOVERNED),
    Bug(id="g8", what="a node goes by the first policy that it has read", expected=("G4",),
        replacements=a_book_that_stays, overrides=_GOVERNED),
    Bug(id="g9", what="a node lets people through whose grant was reviewed", expected=("G4", "G7"),
        replacements=grants_that_stay_in_the_book, overrides=_GOVERNED),
    Bug(id="g10", what="consents are answered before they are in the log", expected=("G5",),
        replacements=answers_before_the_log, overrides=_CLUSTER),
    Bug(id="g11", what="a migration copies what its author may not see", expected=("G8",),
        replacements=migrations_that_nobody_judges, overrides=_GOVERNED),
    Bug(id="g12", what="one subject's consent shows everybody's rows in SQL", expected=("G7",),
        replacements=one_consent_for_all, overrides=_GOVERNED),
    Bug(id="g13", what="rows are shown in SQL after a consent or a grant has ended", expected=("G7",),
        replacements=what_was_found_stays, overrides=_GOVERNED),
    Bug(id="g14", what="SQL inserts rows that don't fulfil the rule's condition", expected=("G8",),
        replacements=rows_unchecked, overrides=_GOVERNED),
)  # fmt: skip
