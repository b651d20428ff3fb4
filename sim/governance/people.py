"""Officers and clinicians: what each does next is drawn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import trio

from sim.governance.load import (
    FIRST,
    OFFICERS,
    PURPOSES,
    SUBJECTS,
    Deed,
    GovernanceLoad,
    Opened,
    policy_text,
    principal,
)

OFFICER_WORK = {"apply": 2, "review": 4, "list": 2, "give": 4, "withdraw": 3, "stale": 1}
CLINICIAN_WORK = {"open": 6, "review": 2, "list": 1, "meddle": 1}
REST_SECONDS = 0.05


class Person:
    """One client. The first officer applies the first policy, before the others begin."""

    def __init__(self, load: GovernanceLoad, number: int, random: Random) -> None:
        self.load = load
        self.number = number
        self.random = random
        self.who = principal(FIRST + number)
        self.tenant = random.randrange(1, load.options.tenants + 1)
        self.client: Any = None
        self._work = OFFICER_WORK if number < OFFICERS else CLINICIAN_WORK
        self._acts: dict[str, Callable[[], Awaitable[None]]] = {
            "apply": self._apply,
            "stale": self._apply_over_another,
            "open": self._open,
            "review": self._review,
            "list": self._list,
            "give": self._give,
            "withdraw": self._withdraw,
            "meddle": self._meddle,
        }

    async def run(self) -> None:
        """Until all is done."""
        load = self.load
        async with load.client(FIRST + self.number, self.tenant) as self.client:
            if self.number == 0:
                while not load.made.is_set():
                    await self._apply()
                    await trio.sleep(REST_SECONDS)
            await load.made.wait()
            while load.left > 0:
                load.left -= 1
                kind = self.random.choices(list(self._work), list(self._work.values()))[0]
                await self._acts[kind]()
                await trio.sleep(REST_SECONDS * self.random.random())

    def _deed(self, kind: str, **what: Any) -> Deed:
        return Deed(kind=kind, who=self.who, asked_ns=self.load.now_ns(), tenant=self.tenant, **what)

    def _region(self) -> str:
        return self.random.choice(self.load.options.places.names)

    # Policies --------------------------------------------------------------------------------------------------

    async def _apply(self, serial: int | None = None) -> None:
        self.load.policies += 1
        text = policy_text(self.load.policies, self.random.choice((1, 1, 5, 240)))
        deed = self._deed("apply", text=text)

        async def act() -> None:
            applied = await self.client.apply_policy(text, serial)
            deed.serial = applied.serial
            self.load.made.set()

        await self.load.recorded(deed, act)

    async def _apply_over_another(self) -> None:
        """In the place of one that may be there no more."""
        await self._apply(self.random.randrange(self.load.policies + 1))

    async def _meddle(self) -> None:
        """Who may not, tries."""
        await self._apply()

    # Grants ----------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        subject = self.random.choice((*SUBJECTS, ""))
        deed = self._deed("open", group=self._region(), subject=subject)

        async def act() -> None:
            seconds = self.random.choice((1, 5, 30, 60))
            opened = await self.client.break_glass("a case", subject, seconds=seconds, group=deed.group)
            deed.grant, deed.until = opened.grant, opened.until
            self.load.grants.append(Opened(self.tenant, deed.group, opened.grant, self.who))

        await self.load.recorded(deed, act)

    async def _review(self) -> None:
        known = [one for one in self.load.grants if one.tenant == self.tenant]
        if not known:
            await self._list()
            return
        grant = self.random.choice(known[-8:])
        deed = self._deed("review", group=grant.group, grant=grant.grant)

        async def act() -> None:
            await self.client.review_grant(grant.grant, "justified", group=grant.group)

        await self.load.recorded(deed, act)

    async def _list(self) -> None:
        deed = self._deed("list", group=self._region(), unreviewed=self.random.random() < 0.5)

        async def act() -> None:
            found = await self.client.grants(unreviewed=deed.unreviewed, group=deed.group)
            deed.seen = tuple((one.grant, bool(one.reviewer)) for one in found)

        await self.load.recorded(deed, act)

    # Consents --------------------------------------------------------------------------------------------------

    async def _give(self) -> None:
        count = self.random.randrange(1, 3)
        deed = self._deed(
            "give", group=self._region(), subject=self.random.choice(SUBJECTS),
            purposes=tuple(self.random.sample(PURPOSES, count)),
        )  # fmt: skip

        async def act() -> None:
            await self.client.give_consent(deed.subject, deed.purposes, group=deed.group)

        await self.load.recorded(deed, act)

    async def _withdraw(self) -> None:
        count = self.random.randrange(3)
        deed = self._deed(
            "withdraw", group=self._region(), subject=self.random.choice(SUBJECTS),
            purposes=tuple(self.random.sample(PURPOSES, count)),
        )  # fmt: skip

        async def act() -> None:
            await self.client.withdraw_consent(deed.subject, deed.purposes, group=deed.group)

        await self.load.recorded(deed, act)
