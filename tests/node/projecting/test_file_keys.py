"""Keys of files: who asks for one has it, whatever becomes of the first that is put."""

from __future__ import annotations

import trio
from attrs import define

from vdb.crypto.keyring import Keyring
from vdb.kernel.command import INTERNAL, KeyScope, Origin
from vdb.kernel.reply import Numbered, Reply
from vdb.kernel.state import State
from vdb.node.erasure.erasure_request import PlainErase
from vdb.node.preparing.request import PlainCreate, PlainKey, PlainRequest
from vdb.node.projecting.file_keys import FileKeys
from vdb.node.replication.group import Group
from vdb.types import DataClass, TenantId

T1 = TenantId(1)


@define
class ErasingGroup:
    """A group in which a subject is erased right after a file's key was put, so often."""

    group: Group
    erasures: int

    @property
    def keyring(self) -> Keyring:
        return self.group.keyring

    @property
    def state(self) -> State:
        return self.group.state

    async def execute(self, request: PlainRequest, origin: Origin) -> Reply:
        reply = await self.group.execute(request, origin)
        if isinstance(request, PlainKey) and self.erasures:
            self.erasures -= 1
            erase = PlainErase(
                tenant=T1, subject=f"patient-{self.erasures}", basis="asked for", by="", members=(0,), keys_max=8
            )
            assert isinstance(await self.group.execute(erase, INTERNAL), Numbered)
        return reply


async def test_a_key_that_an_erasure_takes_at_once_is_followed_by_another(start, region) -> None:
    async with start() as node:
        group = node.groups[region.name]
        create = PlainCreate(tenant=T1, name="wards", data_class=DataClass.PHI, region=region.name, if_not_exists=True)
        await group.execute(create, INTERNAL)
        keys = FileKeys(ErasingGroup(group, 2))
        with trio.fail_after(30):
            key = await keys.key_for(T1, "beds")
        row, number = group.keyring.newest_row(T1, KeyScope.PROJECTION, "beds")
        assert number == 3, "two were destroyed"
        assert not row.is_destroyed
        assert keys.with_earlier(key) == [key] == [group.keyring.key(row.dek_id)]
