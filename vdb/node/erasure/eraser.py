"""Makes an erasure true on this node's disk, and says so: one for each node, a task for each of its groups.

    keys destroyed (apply) -> checkpoint -> older files gone -> rows rebuilt -> WAL wiped -> acknowledged, signed

Rules
- What is still owed is told by the group's own state: a node that was down, or was cut short, goes on where it stands.
- The keys are gone for reading at apply. The acknowledgement says more: no byte of the wrapped keys is in any file.
- A checkpoint that holds the erasure must be durable first. An idle group makes none for a long time: its primary
  fills the log with ops that do nothing, until one is due.
- A backup sends its word to the primary, which puts it into the log; again and again, until the log has it.
- The primary believes a word that is signed with the key of the very disk by which the group knows its sender.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import trio
from attrs import frozen

from vdb.crypto.record import record_start
from vdb.crypto.signing import SigningKey, verify_signature
from vdb.errors import DefiniteError, PrimaryLost, RefusalCode, VerityError
from vdb.kernel.command import INTERNAL, KeyScope
from vdb.kernel.erasure import find_erasure, unacknowledged
from vdb.kernel.erasure_rows import Erasure
from vdb.kernel.pruning import pruned_of
from vdb.kernel.tables import ERASURES
from vdb.marks import mark
from vdb.node import log
from vdb.node.erasure.erasure_request import PlainAck
from vdb.node.erasure.remains import Remains, find_remains
from vdb.node.preparing.request import PlainReject
from vdb.node.replication.group import Group
from vdb.storage.superblock import SuperblockState
from vdb.types import GroupId, TenantId
from vdb.vsr.message import ErasedMessage

STEP_SECONDS = 0.05
"""Between two looks at a checkpoint that is on its way."""
PIN_SECONDS = 1.0
"""Between two looks whether an older checkpoint is still being copied."""
RESEND_SECONDS = 1.0
WIPE_SECONDS_MAX = 60.0
"""Beyond it the journal is asked again: the group may have been opened anew meanwhile."""
_FILLER = PlainReject(code=RefusalCode.INVALID_ARGUMENT, message="stands before a checkpoint that an erasure waits for")


@frozen(kw_only=True)
class Done:
    """What a node has done for its acknowledgement."""

    rebuilt: Mapping[str, Mapping[str, str]]
    overwritten: int
    """Bytes of the journal."""
    remains: Remains | None


class Cleaner(Protocol):
    """Rids files of rows of what was erased."""

    async def __call__(self, group: GroupId, tenants: Sequence[TenantId]) -> Mapping[str, Mapping[str, str]]:
        """Returns when no file of these tenants on this node holds what was erased before the call, nor can be opened
        by a key that opened one that did. What it did, for the certificate: by file, names and values."""


class Eraser:
    """See the module's docstring. `run` it as long as the node serves."""

    def __init__(
        self,
        *,
        groups: Mapping[GroupId, Group],
        node: str,
        disk_id: Callable[[], bytes],
        remembered: Callable[[int], bytes | None],
        cleaners: Sequence[Cleaner] = (),
    ) -> None:
        self._groups = groups
        self._node = node
        self._disk_id = disk_id
        self._remembered = remembered
        self._cleaners = cleaners
        self._looked: dict[GroupId, tuple[object, int, bool]] = {}
        """By group: the rows that were looked at last, by which members, and whether this node owed something then."""

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            for group in self._groups.values():
                group.on_erased = partial(self._on_word, nursery, group)
                nursery.start_soon(self._serve, group)
            task_status.started()

    async def _serve(self, group: Group) -> None:
        while True:
            await group.wait_until(lambda: self._owes(group))
            owed = unacknowledged(group.state, group.replica.replica)
            if owed:
                await self._erase(group, owed)

    def _owes(self, group: Group) -> bool:
        """Asked after each commit: the rows are walked only when they have changed."""
        rows, epoch = group.state.rows[ERASURES], group.replica.configuration.epoch
        looked = self._looked.get(group.name)
        if looked is None or looked[0] is not rows or looked[1] != epoch:
            owes = bool(rows) and bool(unacknowledged(group.state, group.replica.replica))
            looked = self._looked[group.name] = rows, epoch, owes
        return looked[2]

    async def _erase(self, group: Group, owed: Sequence[Erasure]) -> None:
        """All at once: their checkpoint is one, and so is the pass over the journal."""
        await self._until_checkpointed(group, max(erasure.time for erasure in owed))
        tenants = list(dict.fromkeys(erasure.tenant for erasure in owed))
        rebuilt: dict[str, Mapping[str, str]] = {}
        for clean in self._cleaners:
            rebuilt |= await clean(group.name, tenants)
        keys = tuple(key.dek_id for erasure in owed for key in erasure.keys)
        overwritten = await self._wipe(group, keys + _pruned(group, owed))
        for tenant in tenants:
            mine = [erasure for erasure in owed if erasure.tenant == tenant]
            remains = await self._look_for_remains(group, tenant, mine)
            for erasure in mine:
                done = Done(rebuilt=rebuilt, overwritten=overwritten, remains=remains.get(erasure.erasure))
                await self._acknowledge(group, erasure, done)

    async def _look_for_remains(
        self, group: Group, tenant: TenantId, erasures: Sequence[Erasure]
    ) -> Mapping[int, Remains]:
        """A log that can't be read now says nothing: that the keys are gone doesn't depend on it."""
        try:
            return await find_remains(group, tenant, erasures)
        except VerityError as error:
            mark("eraser.saw_no_remains")
            log.warning("erasure.log_unreadable", group=group.name, tenant=tenant, reason=log.reason(error))
            return {}

    async def _until_checkpointed(self, group: Group, time: int) -> None:
        """Until no file of a checkpoint on this disk is older than this time, nor of one that was being fetched."""
        while (checkpointer := group.checkpointer).clean_until < time:
            if checkpointer.written_until >= time:
                mark("eraser.waits_for_a_copy")
                checkpointer.prune_again()
                await trio.sleep(STEP_SECONDS)
                if checkpointer.clean_until < time:
                    await trio.sleep(PIN_SECONDS)
            elif group.is_serving and not checkpointer.busy:
                await self._fill(group)
            else:
                await trio.sleep(STEP_SECONDS)
        while not await group.rid_of_overtaken_copies():
            mark("eraser.waits_for_a_sync")
            await trio.sleep(PIN_SECONDS)

    async def _fill(self, group: Group) -> None:
        mark("eraser.filled_the_log")
        try:
            await group.execute(_FILLER, INTERNAL)
        except (DefiniteError, PrimaryLost):
            await trio.sleep(RESEND_SECONDS)

    async def _wipe(self, group: Group, keys: tuple[bytes, ...]) -> int:
        """The journal is another one once the group was opened anew."""
        while True:
            with trio.move_on_after(WIPE_SECONDS_MAX):
                return await group.journal.wipe(keys)
            mark("eraser.wiped_again")

    # Acknowledging ---------------------------------------------------------------------------------------------

    async def _acknowledge(self, group: Group, erasure: Erasure, done: Done) -> None:
        assert done.remains is None or not done.remains.opened, "a record that was erased opens"
        alive = [key.dek_id.hex() for key in erasure.keys if not group.keyring.is_destroyed(key.dek_id)]
        assert not alive, f"a key that was erased opens: {alive}"
        durable = group.superblock.state
        number = durable.replica
        while any(one.erasure == erasure.erasure and one.tenant == erasure.tenant for one in self._owed(group)):
            # Anew each time: the root key that the node's own comes from may be another one by now.
            key = self._key(group, self._disk_id())
            statement = self._statement(group, durable, erasure, done, key)
            signature = key.sign(statement)
            if group.is_serving:
                await self._commit(group, erasure.tenant, erasure.erasure, number, statement, signature)
            elif group.replica.primary != number:
                mark("eraser.told_the_primary")
                message = ErasedMessage(
                    tenant=erasure.tenant,
                    erasure=erasure.erasure,
                    statement=statement,
                    signature=signature,
                    replica=number,
                )
                group.send(group.replica.primary, message)
            with trio.move_on_after(RESEND_SECONDS):
                await group.wait_until(lambda: erasure.erasure not in [one.erasure for one in self._owed(group)])
        log.info("erasure.acknowledged", group=group.name, tenant=erasure.tenant, erasure=erasure.erasure)

    def _statement(
        self, group: Group, durable: SuperblockState, erasure: Erasure, done: Done, key: SigningKey
    ) -> bytes:
        tenant_key = group.keyring.row(erasure.tenant, KeyScope.TENANT)
        assert tenant_key is not None, "keys of a tenant are wrapped by the tenant's"
        before = [group.keyring.opened_before(found.dek_id) for found in erasure.keys]
        return json.dumps(
            {
                "format": "veritydb-erasure-ack/v1",
                "cluster": durable.cluster.hex(),
                "group": group.name,
                "tenant": str(erasure.tenant),
                "erasure": str(erasure.erasure),
                "node": self._node,
                "number": durable.replica,
                "disk": self._disk_id().hex(),
                "key": key.public.hex(),
                "keys": [found.dek_id.hex() for found in erasure.keys],
                "opened-before": {"opened": str(before.count(True)), "not-tried": str(before.count(None))},
                "opens": False,
                "remains": None if done.remains is None else done.remains.told(),
                "root-key": tenant_key.kek_id.hex(),
                "checkpoint-op": str(durable.checkpoint_op),
                "checkpoint": durable.checkpoint_id.hex(),
                "wal-bytes-overwritten": str(done.overwritten),
                "rebuilt": {name: dict(what) for name, what in done.rebuilt.items()},
            },
            separators=(",", ":"),
            sort_keys=True,
        ).encode()

    def _owed(self, group: Group) -> tuple[Erasure, ...]:
        return unacknowledged(group.state, group.replica.replica) if self._owes(group) else ()

    def _on_word(self, nursery: trio.Nursery, group: Group, message: ErasedMessage) -> None:
        """Another member's acknowledgement."""
        if not group.is_serving or not self._believes(group, message):
            mark("eraser.word_ignored")
            return
        nursery.start_soon(
            self._commit,
            group,
            TenantId(message.tenant),
            message.erasure,
            message.replica,
            message.statement,
            message.signature,
        )

    def _believes(self, group: Group, message: ErasedMessage) -> bool:
        erasure = find_erasure(group.state, TenantId(message.tenant), message.erasure)
        disk = self._remembered(message.replica)
        if erasure is None or disk is None:
            return False
        known = [root.signing_key(disk).public for root in group.keyring.roots.keys]
        if not any(verify_signature(public, message.statement, message.signature) for public in known):
            log.warning("erasure.bad_signature", group=group.name, node=message.replica)
            return False
        said = _read(message.statement)
        return (said.get("group"), said.get("tenant"), said.get("erasure"), said.get("number")) == (
            group.name,
            str(message.tenant),
            str(message.erasure),
            message.replica,
        )

    async def _commit(
        self, group: Group, tenant: TenantId, erasure: int, number: int, statement: bytes, signature: bytes
    ) -> None:
        request = PlainAck(tenant=tenant, erasure=erasure, node=number, statement=statement, signature=signature)
        try:
            await group.execute(request, INTERNAL)
        except (DefiniteError, PrimaryLost):
            mark("eraser.word_lost")

    def _key(self, group: Group, disk_id: bytes) -> SigningKey:
        """Of the node with this disk: from the root key that the group goes by, which all its nodes have."""
        rotation, roots = group.state.rotation(), group.keyring.roots
        root = roots.founding if rotation is None else group.keyring.root(rotation.root_key_id)
        return root.signing_key(disk_id)


def _pruned(group: Group, owed: Sequence[Erasure]) -> tuple[bytes, ...]:
    """What prepares hold that have records of tenants with pruned segments: their keys may live on."""
    tenants = [one.tenant for one in owed if not any(one.subject) and pruned_of(group.state, one.tenant)]
    return tuple(record_start(tenant) for tenant in tenants)


def _read(statement: bytes) -> dict[str, Any]:
    try:
        found = json.loads(statement)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
