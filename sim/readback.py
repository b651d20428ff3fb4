"""The last phase: a fresh client reads every log and every stream; they hold what the ledger says, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

import trio

from sim.checkers.contents import Contents
from sim.raw_client import Connector
from sim.verdict import Verdict
from sim.world.entropy import SimEntropy
from sim.world.fence import Fence
from vdb.client.client import Client
from vdb.client.gateway import Gateway
from vdb.client.values import ReadPage
from vdb.errors import AuditUnavailable, UnknownStream, UnknownTenant, VerityError
from vdb.types import Consistency, GroupId

LINEARIZABLE = Consistency.LINEARIZABLE
RECEIPT_ATTEMPTS = 120
RECEIPT_PAUSE_SECONDS = 0.5


class Readback:
    """`forgiving`: an error is an honest answer, since something was destroyed. A false answer never is."""

    def __init__(
        self,
        verdict: Verdict,
        contents: Mapping[str, Contents],
        connectors: Mapping[str, Connector],
        random: Random,
        fence: Fence,
        *,
        learn: Callable[[str], Connector],
        forgiving: bool,
    ) -> None:
        self._verdict = verdict
        self._contents = contents
        self._connectors = connectors
        self._entropy = SimEntropy(random, fence)
        self._learn = learn
        self._forgiving = forgiving
        self.refused = ""
        """What the node said instead of an answer, in a forgiving readback."""

    async def run(self, tenants: Sequence[str]) -> None:
        try:
            async with Client(
                self._connectors, entropy=self._entropy, retry_for=60.0, connect_for=120.0, learn=self._learn
            ) as client:
                for tenant in tenants:
                    for group, contents in self._contents.items():
                        await self._read_once_recorded(client._rpc, int(tenant), group, contents)
        except VerityError as error:
            message = f"{type(error).__name__}: {error}"
            if self._verdict.check("I5", self._forgiving, f"the last reads failed: {message}"):
                self.refused = message

    async def _read_once_recorded(self, gateway: Gateway, tenant: int, group: str, contents: Contents) -> None:
        """A disk that was full until a moment ago takes no receipts yet, and without them nothing is answered."""
        for _ in range(RECEIPT_ATTEMPTS):
            try:
                return await self._read_group(gateway, tenant, group, contents)
            except AuditUnavailable:
                await trio.sleep(RECEIPT_PAUSE_SECONDS)
        return await self._read_group(gateway, tenant, group, contents)

    async def _read_group(self, gateway: Gateway, tenant: int, group: str, contents: Contents) -> None:
        expected = [(event.position, event.stream.name, event.payload) for event in contents.events.get(tenant, [])]
        found: list[tuple[int, str, bytes]] = []
        position = 0
        while True:
            try:
                page = await gateway.read_log(
                    tenant,
                    GroupId(group),
                    position,
                    max_events=500,
                    wait=0.0,
                    level=LINEARIZABLE,
                    timeout=60.0,
                )
            except UnknownTenant:
                break
            found += _events(page)
            if page.next <= position or page.next >= page.head:
                break
            position = page.next
        self._verdict.check(
            "I5",
            found == expected,
            f"{group}: tenant {tenant}'s log reads {len(found)} events, {len(expected)} are due",
        )
        by_stream: dict[str, list[bytes]] = {}
        for event in contents.events.get(tenant, []):
            by_stream.setdefault(event.stream.name, []).append(event.payload)
        for name, payloads in by_stream.items():
            await self._read_stream(gateway, tenant, name, payloads)

    async def _read_stream(self, gateway: Gateway, tenant: int, name: str, expected: list[bytes]) -> None:
        found: list[bytes] = []
        while True:
            try:
                page = await gateway.read(
                    tenant,
                    name,
                    len(found),
                    max_events=200,
                    wait=0.0,
                    ids_only=False,
                    level=LINEARIZABLE,
                    timeout=60.0,
                )
            except (UnknownStream, UnknownTenant) as error:
                self._verdict.check("I5", False, f"{name} of tenant {tenant} is gone: {error}")
                return
            found += [payload for run in page.runs for payload in run.payloads]
            if not page.runs or len(found) >= page.head:
                break
        self._verdict.check(
            "I5", found == expected, f"{name} of tenant {tenant} reads {len(found)} events, {len(expected)} are due"
        )


def _events(page: ReadPage) -> list[tuple[int, str, bytes]]:
    return [
        (run.first_position + index, run.stream, payload)
        for run in page.runs
        for index, payload in enumerate(run.payloads)
    ]
