"""Keys over RPC: a rotation's steps are asked of the group's primary, where it stands of each node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio

from vdb.client.router import Router
from vdb.errors import VerityError
from vdb.keys import ROTATION_ID_SIZE, KeyReport, KeyStatus, RotationStep
from vdb.ports import Entropy
from vdb.types import GroupId

STATUS_SECONDS_MAX = 3.0
"""How long a node may take to say how its keys are."""


class RpcKeys:
    """Implements `vdb.client.key_line.KeyLine`."""

    def __init__(self, router: Router, entropy: Entropy) -> None:
        self._router = router
        self._entropy = entropy

    async def rotate(
        self, tenant: int, group: str, maximum: int, *, begin: bool, rotation_id: bytes, force: bool, timeout: float
    ) -> RotationStep:
        """The router asks again when an answer is lost: under one id nothing begins twice."""
        own = rotation_id or self._entropy.random_bytes(ROTATION_ID_SIZE)

        def build(params: Any) -> None:
            params.tenant, params.group, params.max, params.begin = tenant, group, maximum, begin
            params.rotationId, params.force = own, force

        return await self._router.ask("rotateKeys", build, _step, timeout=timeout, group=GroupId(group))

    async def statuses(self, group: str, *, timeout: float) -> list[KeyReport]:
        await self._router.groups()
        reports: dict[str, KeyReport] = {}
        async with anyio.create_task_group() as tasks:
            for address in self._router.holders_of(GroupId(group)):
                tasks.start_soon(self._report, address, group, timeout, reports)
        by_node: dict[str, KeyReport] = {}
        for address in sorted(reports):
            status = reports[address].status
            by_node.setdefault(address if status is None else status.node, reports[address])
        return list(by_node.values())

    async def _report(self, address: str, group: str, timeout: float, reports: dict[str, KeyReport]) -> None:
        def build(params: Any) -> None:
            params.group = group

        try:
            with anyio.fail_after(min(timeout, STATUS_SECONDS_MAX)):
                link = await self._router.open(address)
                if GroupId(group) not in (link.groups or (group,)):
                    return
                status = _status_of(group)(await link.call("keyStatus", build))
        except (VerityError, TimeoutError) as error:
            problem = str(error) or f"no answer from {address}"
            reports[address] = KeyReport(address=address, status=None, problem=problem)
        else:
            reports[address] = KeyReport(address=address, status=status)


def _step(results: Any) -> RotationStep:
    return RotationStep(
        rewrapped=results.rewrapped,
        left=results.left,
        period=results.period,
        root_key_id=bytes(results.rootKeyId),
    )


def _status_of(group: str) -> Callable[[Any], KeyStatus]:
    def parse(results: Any) -> KeyStatus:
        return KeyStatus(
            node=results.node,
            group=group,
            provider=results.provider,
            root_key_id=bytes(results.rootKeyId),
            given=tuple(bytes(one) for one in results.given),
            tenants=results.tenants,
            behind=results.behind,
            keys=results.keys,
            began=results.began,
            settled=results.settled,
            files=results.files,
            missing=bytes(results.missing),
        )

    return parse
