"""Keys of encrypted files on a node: random rows of the key store of the region's group.

A name has one key after another, numbered by its row's period. A rotation puts the next one for each name; what is made
from then on is under it, and what is there is built or copied anew, on each node by itself (`file_rotation`).
"""

from __future__ import annotations

import trio

from vdb.errors import NotPrimary, NotReady, PrimaryLost, error_for_refusal
from vdb.kernel.command import INTERNAL, KeyRow, KeyScope
from vdb.kernel.reply import Refusal
from vdb.marks import mark
from vdb.node.preparing.request import PlainKey
from vdb.node.replication.group import Group
from vdb.types import DataClass, TenantId

KEY_RETRY_SECONDS = 0.1
"""Between two looks at whether the group's primary has put a key."""


class FileKeys:
    """Finds and makes them. `home` is the region's group."""

    def __init__(self, home: Group) -> None:
        self._home = home
        self._names: dict[bytes, tuple[TenantId, str]] = {}
        """Whose a key is, of those that were given out. A key says so by itself alone to who has it already."""
        self._used: dict[str, tuple[tuple[TenantId, str], bytes]] = {}
        """By path: whose the file is, and the key that opened it last. One name may have several files: rows in use,
        rows that are built beside them, rows that were in use before."""

    async def key_for(self, tenant: TenantId, name: str) -> bytes:
        """The key of a tenant's file, put into the key store, through the log, if it is new.

        Only the primary puts it; the others wait for it. Overloaded and DiskFull when it can't be put now.
        """
        while not (rows := self._rows(tenant, name)):
            request = PlainKey(tenant=tenant, scope=KeyScope.PROJECTION, name=name, data_class=DataClass.PHI)
            try:
                reply = await self._home.execute(request, INTERNAL)
            except (NotPrimary, NotReady, PrimaryLost):
                await trio.sleep(KEY_RETRY_SECONDS)
                continue
            if isinstance(reply, Refusal):
                raise error_for_refusal(reply.code, reply.message)
            if not self._rows(tenant, name):
                # An erasure behind it has destroyed it already, or the group was just opened anew: ask for another.
                mark("files.key_gone_at_once")
        key = self._home.keyring.key(rows[0].dek_id)
        self._names[key] = tenant, name
        return key

    def id_of(self, tenant: TenantId, name: str) -> str:
        """Of the key that a name's files are made under now, in hex; empty: it has none."""
        rows = self._rows(tenant, name)
        return rows[0].dek_id.hex() if rows else ""

    def is_destroyed(self, key_id: str) -> bool:
        """Whether a key of this id, in hex, was destroyed: what was made under it is to go."""
        row = self._home.state.key(bytes.fromhex(key_id)) if key_id else None
        return row is not None and row.is_destroyed

    def was_erased(self, tenant: TenantId, name: str) -> bool:
        """Whether a key that a name's files had was destroyed: there may be one that nobody opens any more."""
        return any(row.is_destroyed for row in self._held(tenant, name))

    @property
    def head(self) -> int:
        """The last op of the log that is here, committed or not."""
        return self._home.replica.op

    def is_known(self, head: int) -> bool:
        """Whether all keys up to this op of the log are known, as far as it still stands there."""
        return self._home.replica.commit_number >= min(head, self._home.replica.op)

    def with_earlier(self, key: bytes) -> list[bytes]:
        """A key that was given out, and those that its name had before and that weren't destroyed; newest first."""
        tenant, name = self._names[key]
        found = [self._home.keyring.key(row.dek_id) for row in self._rows(tenant, name)]
        return [key, *(earlier for earlier in found if earlier != key)]

    def note_use(self, key: bytes, path: str, *, opened_by: bytes) -> None:
        """A file was opened by `opened_by`: the key that was given out for its name, `key`, or an earlier one."""
        # A copy of an earlier state is made and gone again: the name's own files are those of its folder.
        if path.count("/") == _FILE_DEPTH:
            self._used[path] = self._names[key], opened_by

    def note_gone(self, path: str) -> None:
        """The file was removed, or set aside."""
        self._used.pop(path, None)

    def note_renamed(self, old: str, new: str) -> None:
        """The file is another one's from now on, in whose place it is."""
        used = self._used.pop(old, None)
        if used is not None:
            self._used[new] = used

    def behind(self) -> list[tuple[TenantId, str]]:
        """Names of which a file here is under another key than their newest one, in the order of their opening."""
        found: dict[tuple[TenantId, str], None] = {}
        for owner, key in self._used.values():
            rows = self._rows(*owner)
            if rows and self._home.keyring.key(rows[0].dek_id) != key:
                found[owner] = None
        return list(found)

    def _rows(self, tenant: TenantId, name: str) -> list[KeyRow]:
        """The rows of a file's keys that are committed and weren't destroyed, the newest first."""
        live = [row for row in self._held(tenant, name) if not row.is_destroyed]
        return sorted(live, key=lambda row: -row.period)

    def _held(self, tenant: TenantId, name: str) -> list[KeyRow]:
        """The rows of a file's keys that are committed."""
        keyring = self._home.keyring
        if keyring.row(tenant, KeyScope.TENANT) is None:
            return []
        newest, last = keyring.newest_row(tenant, KeyScope.PROJECTION, name)
        if newest is None:
            return []
        held = [self._home.state.key(row.dek_id) for row in keyring.rows(tenant, KeyScope.PROJECTION, name, last)]
        return [row for row in held if row is not None]


_FILE_DEPTH = 2
"""Slashes in `projections/t_1/name.db`."""
